"""Optimisers, with PyTorch's semantics to the letter, over one flat vector of parameters.

Letters: w parameters, g gradient, v velocity, lr learning rate, mu momentum, t number of the step.
"""

import inspect
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.backend.arrays import Array, fuse, xp_of
from scratchnet.backend.products import add_product, axpy
from scratchnet.engine import checks
from scratchnet.engine.equations import bp3_bias, bp4_weight
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.learner import Learner
from scratchnet.engine.params import Param
from scratchnet.errors import SettingError

if TYPE_CHECKING:
    from scratchnet.runs.ranks import Ranks

MUCH = 1_000_000_000  # parameters times steps; for less, loading Numba or compiling takes longer than it saves
PIECE = 65_536  # elements of a vector that are worked on at a time, so that they stay in the processor's cache


class Optimiser(Learner):
    """A learner that also changes the weights: `update` is called once per step, after backward.

    `lr` may be set at any time (a schedule does). `clip_norm` scales the gradient so that its norm, over all
    parameters together, is at most that: g ← g · min(1, clip_norm / (‖g‖ + 10⁻⁶)), as torch's clip_grad_norm_.
    """

    def __init__(self, net: Sequential, lr: float, weight_decay: float = 0.0, clip_norm: float | None = None) -> None:
        who = type(self).__name__
        super().__init__(checks.instance(who, "net", net, Sequential, "Sequential(Linear(784, 10))").seed)
        self.lr = checks.number(who, "lr", lr)
        self.weight_decay = checks.number(who, "weight_decay", weight_decay)
        self.clip_norm = None if clip_norm is None else checks.number(who, "clip_norm", clip_norm)
        self.w, self.g = net.store.values, net.store.grads
        self.ranks: Ranks | None = None  # set by `Ranks.step`: then g is summed over them before the weights change

    def __repr__(self) -> str:
        """One line: lr, and the options that are not at their defaults."""
        options = inspect.signature(type(self)).parameters.items()
        words = [f"lr={self.lr:g}"]
        words += [f"{name}={getattr(self, name)!r}" for name, option in options
                  if name not in ("net", "lr") and getattr(self, name, option.default) != option.default]  # fmt: skip
        return f"{type(self).__name__}({', '.join(words)})"

    @property
    def builds_gradient(self) -> bool:
        """Whether backward must leave all of g in the gradient vector before the weights change."""
        return self.clip_norm is not None or self.ranks is not None

    def total(self, x: Array) -> Array:
        return x if self.ranks is None else self.ranks.sum(x)

    def state(self) -> dict[str, Array]:
        """The flat vectors that the next step depends on, besides weights, `lr` and `steps`."""
        return {}

    def running(self, p: Param, value: Array) -> None:
        p.value[...] = value

    def prepare(self, steps: int) -> None:
        """Told before a training how many steps are to come, so that Numba, if installed, compiles what pays off."""
        from scratchnet.engine.kernels.compiled_steps import installed

        self.compiled = type(self.w) is np.ndarray and self.w.size * steps >= MUCH and installed()

    def update(self) -> None:
        """Finish a step: change the weights by what backward reported."""
        if self.clip_norm is not None:
            self._clip(self.clip_norm)
        self._descend()
        self.count(1)

    def count(self, n: int) -> None:
        """n steps more have been made, one or up to a multiple of a hundred."""
        self.steps += n
        if self.steps % 100 == 0 and type(self.w) is np.ndarray:
            self._forget_the_tiny()

    def _forget_the_tiny(self) -> None:
        """Set to 0 what is left in the state of gradients that ended long ago, before it becomes denormal.

        On denormal numbers a processor is many times slower (Adam over 80,000 parameters: 1270 µs, else 110); what is
        dropped is below a million times the smallest normal number, and changes no weight.
        """
        least = 1e6 * np.finfo(self.w.dtype).tiny
        for sums in self.state().values():
            sums[np.abs(sums) < least] = 0

    def _clip(self, clip_norm: float) -> None:
        xp = xp_of(self.g)
        norm = xp.sqrt(xp.dot(self.g, self.g))
        self.g *= xp.minimum(clip_norm / (norm + 1e-6), 1.0)

    def _descend(self) -> None:
        raise NotImplementedError


class SGD(Optimiser):
    """w ← w − lr g; with momentum v ← mu v + g, w ← w − lr v (Nesterov: w ← w − lr (g + mu v)).

    Weight decay adds weight_decay · w to g. Without clipping, the gradient vector is never built: the textbook's
    w ← w − lr δ aᵀ is one BLAS call in place, made while backward passes by; so is v ← mu v + δ aᵀ.
    Sources: Nielsen, chapter 2; Sutskever et al., On the importance of initialization and momentum, ICML 2013.
    """

    def __init__(self, net: Sequential, lr: float, momentum: float = 0.0, weight_decay: float = 0.0,
                 nesterov: bool = False, clip_norm: float | None = None) -> None:  # fmt: skip
        super().__init__(net, lr, weight_decay, clip_norm)
        self.momentum = checks.number("SGD", "momentum", momentum)
        self.nesterov = checks.flag("SGD", "nesterov", nesterov)
        if nesterov and self.momentum == 0:
            raise SettingError("SGD: nesterov needs a momentum above 0")
        self.v = xp_of(self.w).zeros_like(self.w) if self.momentum else None

    def state(self) -> dict[str, Array]:
        return {} if self.v is None else {"velocity": self.v}

    def bias(self, b: Param, delta: Array) -> None:
        if self.builds_gradient:
            super().bias(b, delta)
        else:
            self._learn(b.value, None if self.v is None else b.view_of(self.v), bp3_bias(delta))

    def weight(self, W: Param, delta: Array, a: Array) -> None:
        v = None if self.v is None else W.view_of(self.v)
        if self.builds_gradient:
            super().weight(W, delta, a)
        elif v is None and not self.weight_decay:
            add_product(W.value, delta, a, -self.lr)
        elif v is not None and not self.nesterov:
            add_product(v, delta, a, 1.0, self.momentum)
            if self.weight_decay:
                axpy(self.weight_decay, W.value.ravel(), v.ravel())
        else:
            # Decay, momentum and g each change w by little. Added to w one by one, as BLAS in place would, they round
            # to one side: in float32 up to 6 times PyTorch's error. So a few rows of g at a time, which stay in the
            # cache, take up the others first.
            size = max(1, PIECE // W.shape[1])
            for k in range(0, W.shape[0], size):
                rows = slice(k, k + size)
                self._learn(W.value[rows], None if v is None else v[rows], bp4_weight(delta[rows], a))

    def _learn(self, w: Array, v: Array | None, g: Array) -> None:
        """A step of the part `w` of the parameters by their gradient `g`, which decay and Nesterov overwrite."""
        if self.weight_decay:
            g += self.weight_decay * w
        if v is not None:
            v *= self.momentum
            v += g
            if not self.nesterov:
                return  # `_descend` takes v for all parameters at once
            g += self.momentum * v
        axpy(-self.lr, g.ravel(), w.ravel())

    def _descend(self) -> None:
        if self.builds_gradient:
            self._learn(self.w, self.v, self.g)
        if self.v is not None and not self.nesterov:
            axpy(-self.lr, self.v, self.w)


@fuse
def _adam(g: Array, m: Array, v: Array, beta1: float, beta2: float, eps: float) -> None:
    xp = xp_of(g)
    m *= beta1
    m += g
    v *= beta2
    g *= g
    v += g
    xp.sqrt(v, out=g)  # g has served: it becomes the direction of the change
    g += eps
    xp.divide(m, g, out=g)


class Adam(Optimiser):
    """m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², w ← w − lr · m̂ / (√v̂ + eps), m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).

    Weight decay adds weight_decay · w to g, as in PyTorch's Adam; AdamW decays w itself. The sums are kept without
    their factors, m/(1 − β₁) and v/(1 − β₂): constants then multiply outside the vectors, 9 passes instead of 13.
    Source: D. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015, algorithm 1.
    """

    decoupled = False

    def __init__(self, net: Sequential, lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, clip_norm: float | None = None) -> None:  # fmt: skip
        super().__init__(net, lr, weight_decay, clip_norm)
        who = type(self).__name__
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise SettingError(f"{who}: betas must be two numbers, such as (0.9, 0.999), not {checks.shown(betas)}")
        beta1, beta2 = (checks.number(who, "betas", beta, most=1.0, below=True) for beta in betas)
        self.betas, self.eps = (beta1, beta2), checks.number(who, "eps", eps)
        xp = xp_of(self.w)
        self.m, self.v = xp.zeros_like(self.w), xp.zeros_like(self.w)
        # On the CPU the vectors are walked in pieces that stay in the cache, 16 bytes for each element.
        size = PIECE if xp is np else self.w.size
        self.pieces = [slice(k, k + size) for k in range(0, self.w.size, size)]

    def state(self) -> dict[str, Array]:
        return {"m": self.m, "v": self.v}

    def _descend(self) -> None:
        (beta1, beta2), t = self.betas, self.steps + 1
        if self.weight_decay and self.decoupled:
            self.w *= 1 - self.lr * self.weight_decay
        elif self.weight_decay:
            self.g += self.weight_decay * self.w
        # m̂ = m (1 − β₁)/(1 − β₁ᵗ) and √v̂ = √v · scale for the sums m, v as they are kept
        scale = ((1 - beta2) / (1 - beta2**t)) ** 0.5
        c = self.lr * (1 - beta1) / (1 - beta1**t) / scale
        direction = _adam
        if self.compiled:
            from scratchnet.engine.kernels.adam import direction
        for k in self.pieces:
            direction(self.g[k], self.m[k], self.v[k], beta1, beta2, self.eps / scale)
            axpy(-c, self.g[k], self.w[k])


class AdamW(Adam):
    """Adam with decoupled weight decay: w ← (1 − lr · weight_decay) w before the step.

    Source: I. Loshchilov and F. Hutter, Decoupled weight decay regularization, ICLR 2019, algorithm 2.
    """

    decoupled = True

    def __init__(self, net: Sequential, lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.01, clip_norm: float | None = None) -> None:  # fmt: skip
        super().__init__(net, lr, betas, eps, weight_decay, clip_norm)
