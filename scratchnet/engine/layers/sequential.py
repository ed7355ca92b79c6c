"""A network: layers one after another, their parameters in one flat store.

Users pass and get PyTorch's shapes, with the batch first. Inside, examples are columns:
the batch is the last axis.
"""

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.backend.devices import module_of, resolve_device
from scratchnet.backend.sparse import is_sparse, length
from scratchnet.backend.threads import threads_for
from scratchnet.engine import checks
from scratchnet.engine.columns import to_columns, to_rows
from scratchnet.engine.layers.base import Layer, Shape
from scratchnet.engine.layers.chain import check_neighbours, may_overwrite, operations_of, shapes_through
from scratchnet.engine.layers.inputs import input_of
from scratchnet.engine.layers.norm import BatchNorm
from scratchnet.engine.layers.summary import as_html, as_text
from scratchnet.engine.learner import Learner
from scratchnet.engine.losses import Loss
from scratchnet.engine.params import Param, Store, set_values
from scratchnet.engine.prediction import outputs, probabilities
from scratchnet.engine.saving import save
from scratchnet.engine.trace import Trace, trace
from scratchnet.engine.tuned import in_kernels
from scratchnet.errors import CheckpointError, SettingError, ShapeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Calls layer i on x, as (i, layer, x, learn) → (output, cache): to carry a state from
#: piece to piece, or to record what passes
Visit = Callable[[int, Layer, Array, Learner | None], tuple[Array, Any]]


class Sequential:
    """y = f_L(... f₂(f₁(x))), with initial values drawn from `seed`.

    >>> net = Sequential(Linear(784, 30), Sigmoid(), Linear(30, 10), seed=0)
    >>> net(x).shape  # x of shape (64, 784)
    (64, 10)

    `dtype` is "float32" or "float64"; `device` is "cpu", "cuda" or "auto". Raises
    ShapeError for layers that do not fit together, SettingError for unknown options,
    and DeviceError if the device cannot be used.
    """

    def __init__(self, *layers: Layer, seed: int = 0, dtype: str = "float32", device: str = "cpu") -> None:
        if not layers:
            raise SettingError("Sequential needs at least one layer")
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise SettingError(
                    f"Sequential: layer {i} is {checks.shown(layer)}, not a layer object such as Linear(3, 4)"
                )
        if not isinstance(dtype, (str, type, np.dtype)) or dtype not in ("float32", "float64", np.float32, np.float64):
            raise SettingError(f"dtype {checks.shown(dtype)} is not known: choose 'float32' or 'float64'")
        self.layers, self.seed, self.dtype = layers, checks.whole("Sequential", "seed", seed), np.dtype(dtype)
        self.device = resolve_device(device)
        self.xp = module_of(self.device)
        self.params: dict[str, Param] = {f"{i}.{p.name}": p for i, la in enumerate(layers) for p in la.params()}
        self.store = Store(list(self.params.values()), np.random.default_rng(self.seed), self.dtype, self.xp)
        # saved with the model: preprocessing, class names, vocabulary
        self.info: dict[str, Any] = {}
        self._checked: set[Shape] = set()
        self._work: dict[Shape, tuple[float, float]] = {}
        # (i, layer i, whether it may overwrite its input), as `walk` needs them
        self._passes = self._plan_passes()
        self.input_dtype = np.dtype(np.int64) if layers[0].takes_indices else self.dtype
        check_neighbours(layers)

    # ------------------------------------------------ forward and back, in columns

    def walk(self, x: Array, learn: Learner | None = None, visit: Visit | None = None) -> Iterator[tuple[Array, Any]]:
        """(output, cache) of every layer in turn: the one loop over the layers.

        A layer may overwrite the output of the layer before it, so use an output before
        asking for the next. If `visit` is given, it calls the layers instead, and
        nothing is overwritten.
        """
        if x.shape[:-1] not in self._checked:
            self._check_input(x)
        for i, layer, in_place in self._passes:
            if visit is not None:
                passed = visit(i, layer, x, learn)
            elif in_place:
                passed = layer.forward(x, learn, x)  # type: ignore[call-arg]
            else:
                passed = layer.forward(x, learn)
            yield passed
            x = passed[0]

    def forward(self, x: Array, learn: Learner | None = None, visit: Visit | None = None) -> tuple[Array, list[Any]]:
        """The output for columns x and, with a learner, every layer's cache."""
        caches = []
        for y, cache in self.walk(x, learn, visit):  # noqa: B007 (the last y is the output)
            if learn is not None:  # inference keeps no caches
                caches.append(cache)
        return y, caches

    def cost(
        self, x: Any, target: Any, loss: Loss, learn: Learner | None = None, visit: Visit | None = None
    ) -> tuple[Any, Array, Array, list[Any]]:
        """(C, δ = ∂C/∂y, y, caches) for a batch: all layers and then the loss.

        δ and y are in columns.
        """
        x = to_columns(self.as_input(x))
        if learn is not None:
            learn.begin(x.shape[-1])
        y, caches = self.forward(x, learn, visit)
        t = to_columns(loss.as_target(target, y))
        # on a GPU, a loss may have a kernel of its own (see tuned.py)
        value, delta = loss.forward(y, t) if self.xp is np else in_kernels(loss).forward(loss, y, t)
        return value, delta, y, caches

    def backward(self, delta: Array, caches: list[Any], learn: Learner) -> None:
        """From δ = ∂C/∂y back through all layers, each telling `learn` its part."""
        for i in range(len(caches) - 1, -1, -1):
            delta = self.layers[i].backward(delta, caches[i], learn, i > 0)

    # ------------------------------------------------ use

    def __call__(self, x: Any) -> Array:
        """The output for a batch at inference, (N, ...) → (N, ...)."""
        x = self.as_input(x, may_be_empty=True)
        if not x.shape[0]:
            return self.xp.empty((0, *self.shapes_from(x.shape[1:])[-1]), self.dtype)
        with threads_for(self.work, x):
            y, _ = self.forward(to_columns(x))
        return to_rows(y)

    def predict(self, x: Any) -> np.ndarray:
        """The class of every example, the index of its largest output: (N, ...) → (N,).

        The one output of a network that has no other comes back as it is, (N, 1). For
        the values of a regression with several outputs, call the network: net(x).
        """
        y = outputs(self, x)
        return y if y.shape[1] == 1 else y.argmax(axis=1)

    def predict_proba(self, x: Any) -> np.ndarray:
        """The probability of every class: (N, ...) → (N, K).

        Logits become probabilities by softmax; what a Softmax, LogSoftmax or Sigmoid
        layer at the end gives is read as what it is. Raises ShapeError without classes.
        """
        return probabilities(self, outputs(self, x))

    def gradients(self, x: Any, target: Any, loss: Loss) -> tuple[float, dict[str, Array]]:
        """(C, {name: ∂C/∂parameter}), as in a training step; changes nothing.

        Names and shapes are those of `state_dict`. Dropout and batch normalisation act
        as in training.
        """
        checks.instance("gradients", "loss", loss, Loss, "CrossEntropyLoss()")
        learn = Learner(self.seed)
        x = self.as_input(x)
        with threads_for(self.work, x):
            value, delta, _, caches = self.cost(x, target, loss, learn)
            self.backward(delta, caches, learn)
        return float(value), {name: p.grad.copy() for name, p in self.params.items() if p.trained}

    def trace(self, x: Any, target: Any, loss: Loss, *, training: bool = True) -> Trace:
        """One pass forward and back with everything kept, layer by layer.

        Shapes are PyTorch's, and nothing is changed. With `training` false, dropout and
        batch normalisation act as at inference.
        """
        return trace(self, x, target, loss, training)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters as NumPy arrays, with PyTorch's names and shapes."""
        return {name: to_numpy(p.value).copy() for name, p in self.params.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set all parameters.

        Raises CheckpointError, before any is changed, if a name, shape or type does not
        fit.
        """
        if not isinstance(state, Mapping):
            raise CheckpointError(
                f"the state must be a dict of arrays, as state_dict gives it, not {checks.shown(state)}"
            )
        counters = {f"{i}.num_batches_tracked" for i, la in enumerate(self.layers) if isinstance(la, BatchNorm)}
        # only PyTorch keeps these
        set_values(self.params, {name: state[name] for name in state if name not in counters}, self.dtype, self.xp)

    def summary(self, input_shape: Shape) -> None:
        """Print every layer with its output shape and its number of parameters.

        `input_shape` is the shape of one example.
        """
        print(as_text(self, self.shapes_from(checks.shape("summary", "input_shape", input_shape))))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a .safetensors file, which `scratchnet.load` reads."""
        save(self, path)

    def draw(self, path: str | os.PathLike[str] | None = None, input_shape: Shape | None = None) -> "Figure":
        """Draw the network as a diagram, with shapes and numbers of parameters.

        Returns the figure of Matplotlib, which a notebook shows, and writes it to a
        file if `path` is given; its name ends in .png or .svg. `input_shape` is of one
        example, such as (1, 28, 28); it is needed where neither the first layer nor
        `net.info` tells it, as with convolutions. Of wide layers some units are drawn
        and dots for the others. Raises SettingError for other endings, ShapeError if
        the shape does not fit, and OSError.
        """
        # The plots stand above the engine, which does without them; only this method
        # of a network, where users look for it, asks for them when it is called.
        plots = importlib.import_module("scratchnet.plots.network")
        return plots.draw_network(self, path, input_shape)

    @property
    def size(self) -> int:
        """The number of trained parameters."""
        return sum(p.size for p in self.params.values() if p.trained)

    def __reduce__(self) -> tuple[Any, ...]:
        """How `copy.deepcopy` and `pickle` rebuild a network."""
        layers = [(type(layer), layer.options()) for layer in self.layers]
        settings = {"seed": self.seed, "dtype": str(self.dtype), "device": self.device}
        return _rebuild, (type(self), layers, settings, self.state_dict(), self.info)

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(str, self.layers))})"

    def _repr_html_(self) -> str:
        """The table of layers that a notebook shows."""
        return as_html(self)

    # ------------------------------------------------ shapes and input

    def work(self, x: Array, batch_size: int | None = None) -> float:
        """Floating-point operations of the largest product in a forward pass.

        The pass is over all examples x, or over a batch of them. The number of BLAS
        threads depends on this.
        """
        shape = x.shape[1:]
        if shape not in self._work:
            if x.ndim < 2:
                return 0.0  # forward says what is wrong
            self._work[shape] = operations_of(self.layers, shape)
        first, later = self._work[shape]
        if is_sparse(x):
            first *= x.nnz / (x.shape[0] * x.shape[1])
        n = length(x)
        return max(first, later) * (n if batch_size is None else min(batch_size, n))

    def as_input(self, x: Any, may_be_empty: bool = False) -> Array:
        """`x` as an array of this network's dtype and device, copied only if needed.

        Indices, for an Embedding, become int64. Raises DataError if x is not an array
        of numbers or has an index without a row, and ShapeError if it has no batch axis
        or, unless `may_be_empty`, no examples.
        """
        if type(x) is self.xp.ndarray and x.dtype == self.input_dtype and x.size:
            return x
        return input_of(self, x, may_be_empty)

    def with_layers(self, *layers: Layer) -> "Sequential":
        """A network of these layers, which have the parameters of this one.

        It computes the same in another way; both share weights and gradients.
        """
        twin = object.__new__(type(self))  # `copy.copy` would copy the parameters
        vars(twin).update(vars(self))
        twin.layers, twin._checked, twin._work = layers, set(), {}
        twin._passes = twin._plan_passes()
        return twin

    def _plan_passes(self) -> list[tuple[int, Layer, bool]]:
        """Number, layer, and whether it may overwrite its input, for every layer."""
        return list(zip(range(len(self.layers)), self.layers, may_overwrite(self.layers)))

    def shapes_from(self, shape: Shape) -> list[Shape]:
        """The shape of one example before every layer and after the last.

        Raises ShapeError if a layer cannot take it.
        """
        return shapes_through(self.layers, shape)

    def _check_input(self, x: Array) -> None:
        if x.ndim < 2 and not self.layers[0].takes_indices:
            raise ShapeError(f"the input needs a batch axis first: (N, ...), not {x.shape[::-1]}")
        self.shapes_from(x.shape[:-1])
        self._checked.add(x.shape[:-1])


def _rebuild(kind: type[Sequential], layers: Any, settings: Any, state: Any, info: Any) -> Sequential:
    net = kind(*(layer(**options) for layer, options in layers), **settings)
    net.load_state_dict(state)
    net.info = info
    return net
