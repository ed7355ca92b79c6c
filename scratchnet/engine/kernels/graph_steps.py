"""Steps on one example each, on a GPU: a few kernels a step, recorded as CUDA graphs.

Letters as in steps.py.
"""

from scratchnet.engine.kernels.recorded import KernelGraphs, bias_of

KERNELS = ("forward", "backward", "update", "squares", "cross_entropy", "advance")
COLUMNS = 8  # of W, for a block of `backward`


class GraphSteps(KernelGraphs):
    __doc__ = KernelGraphs.__doc__
    text = "step"

    def _launch(self, n: int, size: int = 1) -> None:
        for step in range(n):
            self._step(step)
        self._call("advance", 1, 1, self.number, n)

    def _step(self, step: int) -> None:
        """`backprop.step` on the example of step number at + step."""
        here = self.order, self.number, step
        nowhere = 0, 0, 0
        inputs = [(self.x, *here), *((a, *nowhere) for a in self.outputs[:-1])]
        layers = list(zip(self.linears, inputs, self.activations, self.outputs, self.deltas, strict=True))
        for layer, a, activation, out, _ in layers:
            I, O = layer.in_features, layer.out_features
            self._call("forward", O, threads_for(I), layer.W.value, bias_of(layer), *a, I, activation, out)
        y, delta, K, activation = self.outputs[-1], self.deltas[-1], self.outputs[-1].size, self.activations[-1]
        name, scale = ("cross_entropy", ()) if self.factor is None else ("squares", (self.factor,))
        self._call(name, 1, threads_for(K), y, self.target, *here, K, *scale, activation, delta, self.address)
        for k in reversed(range(len(layers))):
            layer, a, _, _, delta = layers[k]
            I, O = layer.in_features, layer.out_features
            if k > 0:
                below = I, O, self.activations[k - 1], self.deltas[k - 1]
                self._call("backward", -(-I // COLUMNS), threads_down(O), layer.W.value, delta, a[0], *below)
            self._call("update", O, threads_for(I), layer.W.value, bias_of(layer), delta, *a, I, self.lr)


def threads_for(n: int) -> int:
    """Threads of a block that goes through n elements.

    Whole warps, with at least four elements for each thread.
    """
    return 32 * min(-(-n // 128), 8)


def threads_down(n: int) -> int:
    """Threads of a block that goes down n rows; a warp goes down four at a time."""
    return 32 * min(-(-n // 16), 32)
