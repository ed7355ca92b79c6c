"""Steps on batches, on a GPU: a few kernels a step (batch.cu), recorded as CUDA graphs.

Letters as in steps.py; N examples of a batch.
"""

from scratchnet.backend.arrays import Array
from scratchnet.engine.kernels.products_cuda import MOST_MULTIPLICATIONS, TILE, tiles
from scratchnet.engine.kernels.recorded import KernelGraphs, RatedSteps, bias_of
from scratchnet.engine.kernels.steps import rule_of
from scratchnet.engine.layers import Linear, Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser

MOST_EXAMPLES = 256
WHOLE_BLOCK = 512  # threads, as in batch.cu


def supported_batch(net: Sequential, batch_size: int) -> str | None:
    """Why no graph is recorded for batches of this network, or None if one can be.

    `steps.supported_in_batches` has been asked before.
    """
    if batch_size > MOST_EXAMPLES:
        return f"a batch has {batch_size} examples; the most are {MOST_EXAMPLES}"
    largest = max(layer.W.size for layer in net.layers if isinstance(layer, Linear))
    if largest * batch_size > MOST_MULTIPLICATIONS:
        return f"{largest} weights in a layer are too many for batches of {batch_size}"
    return None


class BatchGraphSteps(RatedSteps, KernelGraphs):
    __doc__ = KernelGraphs.__doc__
    text = "batch"

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array, batch_size: int = 1
    ) -> None:
        super().__init__(net, loss, optimiser, x, target, min(batch_size, len(x)))
        self.averages = int(loss.averages)
        _, m, v, _, _ = rule_of(optimiser)
        # for each layer W's and b's parts of m and v, or null pointers
        self.sums = [
            [0 if p is None or sums is None else p.view_of(sums) for p in (layer.W, layer.b) for sums in (m, v)]
            for layer in self.linears
        ]

    def _step(self, step: int, N: int) -> None:
        """`steps.step` on batch number at + step of the epoch, which has N examples."""
        here, nowhere = ((order, self.number, step, self.batch_size) for order in (self.order, 0))
        inputs = [(self.x, *here), *((a, *nowhere) for a in self.outputs[:-1])]
        layers = list(zip(self.linears, inputs, self.activations, self.outputs, self.deltas, strict=True))
        for layer, a, activation, out, _ in layers:
            I, O = layer.in_features, layer.out_features
            W, b = layer.W.value, bias_of(layer)
            self._call("forward", tiles(N, O), TILE * TILE, W, b, *a, N, I, O, activation, out)
        y, delta, K, activation = self.outputs[-1], self.deltas[-1], self.linears[-1].out_features, self.activations[-1]
        name, scale = ("cross_entropy", ()) if self.factor is None else ("squares", (self.factor, self.averages))
        threads = min(32 * N, WHOLE_BLOCK)
        self._call(name, 1, threads, y, self.target, *here, N, K, *scale, activation, delta, self.address)
        for k in reversed(range(len(layers))):
            layer, a, _, _, delta = layers[k]
            I, O = layer.in_features, layer.out_features
            W, b = layer.W.value, bias_of(layer)
            if k > 0:
                below = N, I, O, self.activations[k - 1], self.deltas[k - 1]
                self._call("backward", tiles(N, I), TILE * TILE, W, delta, a[0], *below)
            rule = self.rule, self.settings, *self.sums[k]
            self._call("update", tiles(O, I), TILE * TILE, W, b, delta, *a, N, I, O, *rule)
