"""What a layer talks to during a training step: the learner receives its gradients.

In every layer the gradient of a weight is one product of two arrays that backward has
computed, δ and a. So backward does not return gradients. It calls `learn.weight(W,
delta, a)`, and the learner decides what to do with the two factors: this one writes δ
aᵀ to the gradient vector; plain SGD adds it to the weights without ever building it.
"""

import math
from types import ModuleType

import numpy as np

from scratchnet.backend.arrays import Array, aligned_zeros, xp_of
from scratchnet.engine.equations import bp3_bias, bp4_rows, bp4_weight
from scratchnet.engine.params import Param


class Learner:
    """Collects gradients in `Param.grad`, overwriting the last ones: no zero_grad.

    A learner also lends a layer what else it needs in a training step: random numbers,
    and large buffers that are kept from step to step. With `training` false the layers
    act as at inference, but keep their caches, so that backward gives the gradients of
    the network as it is used.
    """

    def __init__(self, seed: int = 0, training: bool = True) -> None:
        self.seed, self.training = seed, training
        self.steps = 0  # training steps done so far
        # whether loops compiled by Numba replace NumPy's passes where such loops exist
        self.compiled = False
        # where this batch begins in the global one, which several machines may share
        self.first_example = 0
        self._draws = 0
        self._buffers: dict[object, Array] = {}

    def bias(self, b: Param, delta: Array) -> None:
        """BP3 for a bias (out,), from δ (out, N)."""
        b.grad[...] = bp3_bias(delta)

    def weight(self, W: Param, delta: Array, a: Array) -> None:
        """BP4 for a weight (out, in), from δ (out, N) and the input a (in, N)."""
        bp4_weight(delta, a, out=W.grad)

    def rows(self, W: Param, index: Array, delta: Array) -> None:
        """BP4 for a weight (V, D) whose rows were looked up: index (M,), δ (M, D)."""
        bp4_rows(index, delta, out=W.grad)

    def running(self, p: Param, value: Array) -> None:
        """A new value for a parameter that is not trained, such as a running mean.

        This learner ignores it.
        """

    def total(self, x: Array) -> Array:
        """`x` summed, in place, over all machines that share the batch; here one."""
        return x

    def begin(self, examples: int = 0) -> None:
        """Called before every forward pass, with the size of the batch.

        It restarts the random numbers, so that the same step always draws the same
        ones.
        """
        self._draws = 0

    def uniform(self, like: Array) -> Array:
        """Random numbers in [0, 1), like `like`, whose last axis is the examples.

        They depend only on the seed, the step, the layer (counted in the order in which
        layers draw) and the example's place in the global batch. A resumed run, a GPU
        and any number of machines therefore draw the same numbers.
        """
        self._draws += 1
        n = like.shape[-1]
        per_example = like.size // n if n else 0
        bits = np.random.Philox(key=[self.seed, self._draws], counter=[0, 0, 0, self.steps])
        # Philox gives four 64-bit numbers for each value of its counter, and every
        # example starts at a new value
        counts = -(-per_example // 8)
        bits.advance(self.first_example * counts)
        raw = bits.random_raw(n * counts * 4).view(np.uint32).reshape(n, counts * 8)[:, :per_example]
        numbers = (raw >> 8).astype(np.float32) * np.float32(2.0**-24)
        xp = xp_of(like)
        return xp.asarray(numbers.astype(like.dtype).T.reshape(like.shape))

    def buffer(self, key: object, shape: tuple[int, ...], dtype: np.dtype, xp: ModuleType) -> Array:
        """An array that is kept for the next step; what is in it is left over.

        Allocating a large array anew in every step would cost page faults. `key` names
        its use, for instance (id(layer), "columns"); within a step each key stands for
        one array.
        """
        kept = self._buffers.get(key)
        if kept is None or kept.shape != shape or kept.dtype != dtype:
            kept = self._buffers[key] = aligned_zeros(math.prod(shape), dtype, xp).reshape(shape)
        return kept
