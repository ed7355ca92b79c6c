"""Optimisers with exactly PyTorch's semantics, over one flat vector of parameters.

Letters: w parameters, g gradient, v velocity, lr learning rate, mu momentum, t number
of the step.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scratchnet.backend.arrays import Array, fuse, xp_of
from scratchnet.backend.products import add_product, add_rows, axpy, inner
from scratchnet.engine import checks
from scratchnet.engine.equations import bp3_bias
from scratchnet.engine.learner import Learner
from scratchnet.engine.params import Param
from scratchnet.errors import SettingError

if TYPE_CHECKING:
    from scratchnet.engine.layers.sequential import Sequential

# elements: long vectors are worked on in pieces that stay in the processor's cache
PIECE = 65_536
#: Changes the gradient vector of an optimiser, before the weights change
Hook = Callable[["Optimiser"], None]


class Rates(NamedTuple):
    """What a step multiplies by: numbers or, while it is recorded, arrays of one each.

    `minus_rate` is −lr, in Adam with the corrections of its means; `eps` is Adam's, as
    its sums need it; `keep` is the part of the weights that AdamW leaves.
    """

    minus_rate: Any
    eps: Any = 0.0
    keep: Any = 1.0


class Optimiser(Learner):
    """A learner that also changes the weights: `update` follows backward in a step.

    `lr` may be set at any time, as a schedule does. `hooks` change the gradient g, one
    after another, before the weights change: clipping and weight decay are two of them,
    and any function of an optimiser may be added. Raises SettingError.
    """

    def __init__(self, net: "Sequential", lr: float, weight_decay: float = 0.0, clip_norm: float | None = None) -> None:
        who = type(self).__name__
        checks.network(who, net)
        super().__init__(net.seed)
        self.lr = checks.number(who, "lr", lr)
        self.weight_decay = checks.number(who, "weight_decay", weight_decay)
        self.clip_norm = None if clip_norm is None else checks.number(who, "clip_norm", clip_norm)
        self.net, self.w, self.g = net, net.store.values, net.store.grads
        self.hooks: list[Hook] = []
        if clip_norm is not None:
            self.hooks.append(clip_gradient)
        # on a GPU, one piece
        size = PIECE if xp_of(self.w) is np else max(1, self.w.size)
        self.pieces = [slice(k, k + size) for k in range(0, self.w.size, size)]
        #: x ↦ Σ x over all processes that share the batch, where there are several
        self.sum_of_all: Callable[[Array], Array] | None = None
        #: The rates of this step, on the device, while it is recorded in a graph
        self.recorded: Rates | None = None

    def rates(self) -> Rates:
        """The rates of the next step."""
        return Rates(-self.lr) if self.recorded is None else self.recorded

    def total(self, x: Array) -> Array:
        return x if self.sum_of_all is None else self.sum_of_all(x)

    def state(self) -> dict[str, Array]:
        """The flat vectors that the next step needs, besides weights, lr and steps."""
        return {}

    def running(self, p: Param, value: Array) -> None:
        p.value[...] = value

    def update(self) -> None:
        """Finish a step: change the weights by what backward reported."""
        for hook in self.hooks:
            hook(self)
        self._descend()
        self.count(1)

    def _descend(self) -> None:
        """Change the weights by the gradient, as the hooks have left it."""
        raise NotImplementedError

    def count(self, n: int) -> None:
        """Count n steps that were made; they must not pass a multiple of a hundred."""
        self.steps += n
        if self.steps % 100 == 0 and type(self.w) is np.ndarray:
            self._forget_the_tiny()

    def _forget_the_tiny(self) -> None:
        """Set entries of the state that have decayed almost to nothing to exactly 0.

        They belong to gradients that ended long ago. Without this they would become
        denormal numbers, on which a processor is many times slower (Adam over 80,000
        parameters: 1270 µs instead of 110). What is dropped is below a million times
        the smallest normal number, and changes no weight.
        """
        least = 1e6 * np.finfo(self.w.dtype).tiny
        for sums in self.state().values():
            sums[np.abs(sums) < least] = 0

    # ---------------------------------------------- what else users do with one

    def __repr__(self) -> str:
        """One line: lr, and the options that are not at their defaults."""
        defaults = inspect.signature(type(self)).parameters
        words = [f"{name}={v!r}" for name, v in self.options().items() if v != defaults[name].default]
        return f"{type(self).__name__}({', '.join([f'lr={self.lr:g}', *words])})"

    def __reduce__(self) -> tuple[Any, ...]:
        """How `copy.deepcopy` and `pickle` rebuild an optimiser with its network."""
        return _rebuild, (type(self), self.net, self.options(), self.lr, self.steps, self.state(), self.hooks)

    def options(self) -> dict[str, Any]:
        """The settings that the constructor takes, besides the network and `lr`."""
        names = [name for name in inspect.signature(type(self)).parameters if name not in ("net", "lr")]
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def must_belong_to(self, net: "Sequential") -> None:
        """Raise SettingError if this optimiser was made for another network.

        It would change the weights of that one.
        """
        if self.w is not net.store.values:
            raise SettingError(f"this {type(self).__name__} was made for another network: make one for this network")


def _rebuild(
    kind: type[Optimiser], net: "Sequential", options: dict[str, Any], lr: float, steps: int, state: dict[str, Array],
    hooks: list[Hook],
) -> Optimiser:  # fmt: skip
    optimiser = kind(net, lr=lr, **options)
    optimiser.steps, optimiser.hooks = steps, list(hooks)
    for name, vector in optimiser.state().items():
        vector[...] = state[name]
    return optimiser


def clip_gradient(o: Optimiser) -> None:
    """g ← g · min(1, limit / (‖g‖ + 10⁻⁶)), with ‖g‖ over all parameters together.

    The same as torch's clip_grad_norm_.
    """
    xp = xp_of(o.g)
    norm = xp.sqrt(inner(o.g, o.g))
    o.g *= xp.minimum((o.clip_norm or 0.0) / (norm + 1e-6), 1.0)


def decay_weights(o: Optimiser) -> None:
    """g ← g + weight_decay · w, the gradient of weight_decay/2 · ‖w‖²."""
    for k in o.pieces:
        o.g[k] += o.weight_decay * o.w[k]


class SGD(Optimiser):
    """w ← w − lr g, or with momentum v ← mu v + g and w ← w − lr v.

    With Nesterov's momentum, w ← w − lr (g + mu v). Weight decay adds weight_decay · w
    to g.

    A step is made in one of two ways. Plain descent never builds the gradient: w ← w −
    lr δ aᵀ is one BLAS call in place, made while backward is still running, and so is
    v ← mu v + δ aᵀ. With hooks (decay, clipping), with Nesterov's momentum and where
    several processes share the batch, g is built first, and one rule covers them all.
    Sources: Nielsen, chapter 2; Sutskever et al., On the importance of initialization
    and momentum, ICML 2013.
    """

    def __init__(self, net: "Sequential", lr: float, momentum: float = 0.0, weight_decay: float = 0.0,
                 nesterov: bool = False, clip_norm: float | None = None) -> None:  # fmt: skip
        super().__init__(net, lr, weight_decay, clip_norm)
        self.momentum = checks.number("SGD", "momentum", momentum)
        self.nesterov = checks.flag("SGD", "nesterov", nesterov)
        if nesterov and self.momentum == 0:
            raise SettingError("SGD: nesterov needs a momentum above 0")
        self.v = xp_of(self.w).zeros_like(self.w) if self.momentum else None
        # whether this step changes each weight as soon as backward reports its gradient
        self.at_once = False
        self.minus_rate: Any = -self.lr  # of this step
        if self.weight_decay:
            self.hooks.append(decay_weights)

    def state(self) -> dict[str, Array]:
        return {} if self.v is None else {"velocity": self.v}

    def begin(self, examples: int = 0) -> None:
        super().begin(examples)
        self.at_once = not (self.nesterov or self.hooks) and self.sum_of_all is None
        self.minus_rate = self.rates().minus_rate

    def bias(self, b: Param, delta: Array) -> None:
        if not self.at_once:
            super().bias(b, delta)
        elif self.v is None:
            axpy(self.minus_rate, bp3_bias(delta), b.value)
        else:
            v = b.view_of(self.v)
            v *= self.momentum
            v += bp3_bias(delta)

    def weight(self, W: Param, delta: Array, a: Array) -> None:
        if not self.at_once:
            super().weight(W, delta, a)
        elif self.v is None:
            add_product(W.value, delta, a, self.minus_rate)
        else:
            add_product(W.view_of(self.v), delta, a, beta=self.momentum)

    def rows(self, W: Param, index: Array, delta: Array) -> None:
        if not self.at_once:
            super().rows(W, index, delta)
        elif self.v is None:
            add_rows(W.value, index, self.minus_rate * delta)
        else:
            v = W.view_of(self.v)
            v *= self.momentum
            add_rows(v, index, delta)

    def _descend(self) -> None:
        if self.at_once:
            if self.v is not None:
                axpy(self.minus_rate, self.v, self.w)
            return
        minus_rate = self.rates().minus_rate
        for k in self.pieces:
            g, w = self.g[k], self.w[k]
            if self.v is not None:
                v = self.v[k]
                v *= self.momentum
                v += g
                g = g + self.momentum * v if self.nesterov else v
            axpy(minus_rate, g, w)


@fuse
def _adam(g: Array, m: Array, v: Array, beta1: float, beta2: float, eps: float) -> None:
    xp = xp_of(g)
    m *= beta1
    m += g
    v *= beta2
    g *= g
    v += g
    xp.sqrt(v, out=g)  # g is no longer needed: it becomes the direction of the change
    g += eps
    xp.divide(m, g, out=g)


class Adam(Optimiser):
    """w ← w − lr · m̂ / (√v̂ + eps), with running means m of g and v of g².

        m ← β₁ m + (1 − β₁) g        m̂ = m / (1 − β₁ᵗ)
        v ← β₂ v + (1 − β₂) g²       v̂ = v / (1 − β₂ᵗ)

    Weight decay adds weight_decay · w to g, as in PyTorch's Adam; AdamW decays w
    itself. The sums are kept without their factors, as m/(1 − β₁) and v/(1 − β₂): the
    constants are then multiplied once, not element by element, which takes 9 passes
    over the vectors instead of 13.
    Source: D. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015,
    algorithm 1.
    """

    decoupled = False

    def __init__(self, net: "Sequential", lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0.0, clip_norm: float | None = None) -> None:  # fmt: skip
        super().__init__(net, lr, weight_decay, clip_norm)
        who = type(self).__name__
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise SettingError(f"{who}: betas must be two numbers, such as (0.9, 0.999), not {checks.shown(betas)}")
        beta1, beta2 = (checks.number(who, "betas", beta, most=1.0, below=True) for beta in betas)
        self.betas, self.eps = (beta1, beta2), checks.number(who, "eps", eps)
        xp = xp_of(self.w)
        self.m, self.v = xp.zeros_like(self.w), xp.zeros_like(self.w)
        self.direction = _adam  # kernels/ may replace it by a compiled one
        if weight_decay and not self.decoupled:
            self.hooks.append(decay_weights)

    def state(self) -> dict[str, Array]:
        return {"m": self.m, "v": self.v}

    def rates(self) -> Rates:
        if self.recorded is not None:
            return self.recorded
        (beta1, beta2), t = self.betas, self.steps + 1
        # m̂ = m (1 − β₁)/(1 − β₁ᵗ) and √v̂ = √v · scale, for the sums m and v as they
        # are kept
        scale = ((1 - beta2) / (1 - beta2**t)) ** 0.5
        c = self.lr * (1 - beta1) / (1 - beta1**t) / scale
        return Rates(-c, self.eps / scale, 1 - self.lr * self.weight_decay)

    def _descend(self) -> None:
        minus_rate, eps, keep = self.rates()
        if self.weight_decay and self.decoupled:
            self.w *= keep
        for k in self.pieces:
            self.direction(self.g[k], self.m[k], self.v[k], *self.betas, eps)
            axpy(minus_rate, self.g[k], self.w[k])


class AdamW(Adam):
    """Adam with decoupled weight decay: w ← (1 − lr · weight_decay) w before the step.

    Source: I. Loshchilov and F. Hutter, Decoupled weight decay regularization, ICLR
    2019, algorithm 2.
    """

    decoupled = True

    def __init__(self, net: "Sequential", lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0.01, clip_norm: float | None = None) -> None:  # fmt: skip
        super().__init__(net, lr, betas, eps, weight_decay, clip_norm)
