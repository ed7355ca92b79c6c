"""What recurrent layers share, and the simplest of them: the RNN.

Letters: T time steps, N sequences, I features of the input x_t, H hidden units; h_t
hidden state (H, N); z_t weighted input, δ_t = ∂C/∂z_t; dh = ∂C/∂h_t in full; above =
the part of it that comes from the layer above, at every time.

A sequence is (T, I, N) inside and (N, T, I) outside. At every time, a layer sees a_t =
(h_{t−1}, x_t, 1), stacked on top of each other. With W = (W_hh W_ih b) its weighted
input is then one product, z_t = W a_t = W_hh h_{t−1} + W_ih x_t + b. The weights are
the same at every time, so their gradients are sums over time. With all δ_t and all a_t
side by side as columns, each of these sums is one product too, computed once after the
walk:

    ∂C/∂W = Σ_t δ_t a_tᵀ = (δ_1 ... δ_T) (a_1 ... a_T)ᵀ     BP4 with T·N columns
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.backend.products import dot
from scratchnet.engine import checks
from scratchnet.engine.equations import bp1_error, bp2_propagate
from scratchnet.engine.layers.base import Layer, Shape, buffer, need_sizes
from scratchnet.engine.layers.linear import abreast, in_time
from scratchnet.engine.learner import Learner
from scratchnet.engine.params import Param, uniform
from scratchnet.engine.tuned import best

#: The state of one layer of the stack, (h,) or (h, c), each (H, N); or its gradient,
#: (dh,) or (dh, dc)
Arrays = tuple[Array, ...]
#: What one piece of a sequence passes on to the next: the state of every layer of the
#: stack
State = list[Arrays]


@dataclass(eq=False)
class Recurrent(Layer):
    """A stack of `num_layers` layers through time.

    A subclass says what one of them does at one time: `cell`, and beside it
    `cell_back`.

    Input (N, T, input_size). Output (N, hidden_size), the last h, or with
    output="sequence" the h of every time, (N, T, hidden_size). Parameters have
    PyTorch's names and shapes; initial values U(±1/√H). Raises ShapeError for another
    number of axes or features, and for T = 0.
    """

    input_size: int
    hidden_size: int
    num_layers: int = 1
    output: Literal["last", "sequence"] = "last"

    output_is: ClassVar[Literal["kept"]] = "kept"
    over_time: ClassVar[bool] = True
    blocks: ClassVar[int] = 1  # of H rows each, in every weight
    states: ClassVar[int] = 1  # 1: (h,), 2: (h, c)

    def __post_init__(self) -> None:
        need_sizes(self, "input_size", "hidden_size", "num_layers")
        checks.choice(type(self).__name__, "output", self.output, ("last", "sequence"))
        H, init = self.hidden_size, uniform(self.hidden_size**-0.5)
        rows = self.blocks * H
        self.weights = [  # of every layer of the stack
            (
                Param(f"weight_ih_l{k}", (rows, H if k else self.input_size), init),
                Param(f"weight_hh_l{k}", (rows, H), init),
                Param(f"bias_ih_l{k}", (rows,), init),
                Param(f"bias_hh_l{k}", (rows,), init),
            )
            for k in range(self.num_layers)
        ]

    def params(self) -> list[Param]:
        return [p for weights in self.weights for p in weights]

    # ------------------------------------------------------ one layer of the stack

    def cell(self, W: Any, a_t: Array, state: Arrays) -> tuple[Arrays, Any]:
        """One time step forward: returns the new state and what `cell_back` needs.

        W is what `joined` returns, a_t = (h_{t−1}, x_t, 1), and `state` is the old
        state, (h_{t−1},) or (h_{t−1}, c_{t−1}).
        """
        raise NotImplementedError

    def cell_back(self, W_hh: Array, grads: Arrays, kept: Any) -> tuple[Array, Arrays]:
        """One time step back: δ_t and the gradient of the old state, from the new.

        Returns new arrays; `grads` must not be changed.
        """
        raise NotImplementedError

    def walk(self, k: int, a: Array, state: Arrays, ended: Array | None, learn: Learner | None) -> tuple[Arrays, Any]:
        """Layer k through time from an initial state; every h_t is written into `a`.

        `a` is (T + 1, H + I + 1, N). Where `ended` (T, 1, N) is true, the state is
        passed on unchanged. Returns the final state, in arrays of its own, and a cache.
        """
        W, cache = self.joined(k, learn), []
        for t in range(len(a) - 1):
            after, kept = self.cell(W, a[t], state)
            if ended is not None:
                hold(ended[t], state, after)
            a[t + 1, : self.hidden_size] = after[0]
            state = after
            cache.append(kept)
        return state, cache

    def walk_back(self, k: int, above: Array | None, grads: Arrays, a: Array, cache: Any, ended: Array | None,
                  learn: Learner) -> tuple[Array, Arrays]:  # fmt: skip
        """Back through time, from `above` and the gradient of the final state.

        Both may be overwritten. Returns the δ of all times, (T, rows, N), and the
        gradient of the initial state. After the end of a sequence, any value of δ will
        do: `run_back` sets it to 0.
        """
        W_hh, T, deltas = self.weights[k][1].value, len(cache), None
        for t in reversed(range(T)):
            if above is not None:
                grads = (grads[0] + above[t], *grads[1:])
            delta, before = self.cell_back(W_hh, grads, cache[t])
            if ended is not None:
                hold(ended[t], grads, before)
            if deltas is None:
                deltas = xp_of(delta).empty((T, *delta.shape), delta.dtype)
            deltas[t] = delta
            grads = before
        return deltas, grads

    def joined(self, k: int, learn: Learner | None) -> Array:
        """W = (W_hh W_ih b) of layer k, (rows, H + I + 1), as a copy."""
        W_ih, W_hh, b_ih, b_hh = (p.value for p in self.weights[k])
        W = buffer(self, f"W{k}", (len(W_hh), W_hh.shape[1] + W_ih.shape[1] + 1), W_ih, learn)
        W[:, : self.hidden_size], W[:, self.hidden_size : -1], W[:, -1] = W_hh, W_ih, b_ih + b_hh
        return W

    def tell(self, k: int, delta: Array, a: Array, learn: Learner, need_dx: bool) -> Array | None:
        """BP3 and BP4 of layer k over all times, from δ (T, rows, N); returns dx."""
        W_ih, W_hh, b_ih, b_hh = self.weights[k]
        H, (T, rows, N) = self.hidden_size, delta.shape
        columns = abreast(delta, buffer(self, "delta abreast", (rows, T * N), delta, learn))
        # With one sequence, where a is small beside δ, the product reads a where it is.
        A = abreast(a[:T], None if N == 1 else buffer(self, f"a{k} abreast", (a.shape[1], T * N), a, learn))
        # before W_ih changes
        dx = in_time(bp2_propagate(W_ih.value, columns), T) if need_dx else None
        learn.bias(b_ih, columns)
        learn.bias(b_hh, columns)
        learn.weight(W_hh, columns, A[:H])
        learn.weight(W_ih, columns, A[H:-1])
        return dx

    # ------------------------------------------------------ the stack

    def run(self, x: Array, learn: Learner | None = None, state: State | None = None,
            mask: Array | None = None) -> tuple[Array, State, Any]:  # fmt: skip
        """(output, final state, cache) for columns x (T, I, N), starting from `state`.

        None stands for zeros. `mask` (T, N) is true where a sequence has a value, and
        false once it has ended. From there its state is passed on unchanged, so the
        last h is the one at each sequence's own end. The values of x there are ignored.
        """
        xp, (T, _, N), H = xp_of(x), x.shape, self.hidden_size
        ended = None if mask is None else xp.logical_not(mask)[:, None, :]
        final, caches = [], []
        for k in range(self.num_layers):
            begin = state[k] if state else (xp.zeros((H, N), x.dtype),) * self.states
            a = buffer(self, f"a{k}", (T + 1, H + x.shape[1] + 1, N), x, learn)
            a[0, :H] = begin[0]
            a[:T, H:-1] = x if ended is None else xp.where(ended, 0, x)
            a[:, -1] = 1
            end, cache = best(type(self)).walk(self, k, a, begin, ended, learn)
            x = a[1:, :H]
            final.append(end)
            caches.append((a, cache))
        return x if self.output == "sequence" else x[T - 1], final, (caches, ended)

    def run_back(self, delta: Array, cache: Any, learn: Learner, need_dx: bool = True,
                 state: State | None = None) -> tuple[Array | None, State]:  # fmt: skip
        """(∂C/∂x, gradient of the initial state), from δ = ∂C/∂output.

        `state` is the gradient of the final state; None stands for zeros.
        """
        xp, (H, N), (caches, ended) = xp_of(delta), delta.shape[-2:], cache
        begin: State = []
        above = delta if self.output == "sequence" else None
        for k in range(self.num_layers - 1, -1, -1):
            end = tuple(
                xp.zeros((H, N), delta.dtype) if state is None else state[k][j].copy() for j in range(self.states)
            )
            if k == self.num_layers - 1 and above is None:
                end[0][...] += delta
            a, kept = caches[k]
            delta_k, first = best(type(self)).walk_back(self, k, above, end, a, kept, ended, learn)
            # What is passed on after the end must not enter the products, where 0 · NaN
            # would be NaN.
            if ended is not None:
                xp.copyto(delta_k, 0, where=ended)
                a = xp.where(ended, 0, a[:-1])
            above = self.tell(k, delta_k, a, learn, need_dx or k > 0)
            if ended is not None and above is not None:
                xp.copyto(above, 0, where=ended)
            begin.insert(0, first)
        return above, begin

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Any]:
        y, _, cache = self.run(x, learn)
        return y, cache

    def backward(self, delta: Array, cache: Any, learn: Learner, need_dx: bool = True) -> Array | None:
        return self.run_back(delta, cache, learn, need_dx)[0]

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2 or shape[0] < 1 or shape[1] != self.input_size:
            raise self.wants(f"sequences (N, T, {self.input_size}) with T from 1", shape)
        return (shape[0], self.hidden_size) if self.output == "sequence" else (self.hidden_size,)

    def input_shape(self) -> Shape:
        return (1, self.input_size)

    def operations(self, shape: Shape) -> int:
        H, n = self.hidden_size, self.num_layers
        return 2 * shape[0] * self.blocks * H * (self.input_size + (n - 1) * H + n * H)


def hold(ended: Array, before: Arrays, after: Arrays) -> None:
    """Where a sequence has ended, the new state is the old one.

    On the way back the same holds for their gradients.
    """
    for old, new in zip(before, after, strict=True):
        xp_of(new).copyto(new, old, where=ended)


@dataclass(eq=False)
class RNN(Recurrent):
    """h_t = tanh(z_t), z_t = W_ih x_t + b_ih + W_hh h_{t−1} + b_hh.

    Training keeps 2 (I + H + 1)·N + 2 H·N numbers per time step. See `Recurrent` for
    shapes, options and errors.
    Source: J. Elman, Finding structure in time, Cognitive Science 14 (1990); parameters
    as in torch.nn.RNN.
    """

    def cell(self, W: Array, a_t: Array, state: Arrays) -> tuple[Arrays, Array]:
        h = xp_of(a_t).tanh(dot(W, a_t))
        return (h,), h

    def cell_back(self, W_hh: Array, grads: Arrays, h: Array) -> tuple[Array, Arrays]:
        (dh,) = grads
        delta = bp1_error(1 - h * h, dh)  # h_t = tanh(z_t), tanh′(z) = 1 − tanh²
        return delta, (bp2_propagate(W_hh, delta),)  # z_t = W_hh h_{t−1} + ...
