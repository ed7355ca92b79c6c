"""The one table of layers, their options and shapes.

Every layer test, the Hypothesis product and the mutants read it. A layer enters with
one `Space`: for each option the values that it may take, and the shape of one example
(in the user's order, without batch), in which a range stands for any of its numbers.
`where` excludes what the layer refuses.

    Space("Conv2d", lambda o: (o["in_channels"], range(1, 8), range(1, 8)),
          in_channels=SIZES, stride=(1, 2), ...)
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import scratchnet.engine.layers
from scratchnet import Sequential
from scratchnet.engine.layers import Layer
from tests.profiles import slow_if

Shape = tuple[int, ...]
Options = dict[str, Any]
SIZES = range(1, 7)
FEATURES = [(range(1, 20),), (range(1, 5), range(1, 7)), (range(1, 4), range(1, 5), range(1, 5))]


@dataclass(frozen=True)
class Case:
    """One layer with its options, a shape that fits and a batch size."""

    layer: str
    options: tuple[tuple[str, Any], ...]
    shape: Shape
    batch: int
    space: "Space"

    def __str__(self) -> str:
        options = ", ".join(f"{k}={v}" for k, v in self.options)
        return f"{self.layer}({options})-{'x'.join(map(str, self.shape))}-N{self.batch}"

    def make(self) -> Layer:
        return getattr(scratchnet.engine.layers, self.layer)(**dict(self.options))

    def net(self, dtype: str = "float64", seed: int = 1) -> Sequential:
        """A network of this layer alone."""
        return Sequential(self.make(), seed=seed, dtype=dtype)

    def x(self, dtype: str = "float64", seed: int = 0) -> np.ndarray:
        """An input in columns, (..., N): a shuffled ladder, so that nothing is near 0
        or a tie.
        """
        shape = _columns(self.shape, self.batch)
        if self.make().takes_indices:  # all of them, the padding too, and some twice
            return np.random.default_rng(seed).integers(0, dict(self.options)["num_embeddings"], shape)
        n = int(np.prod(shape))
        ladder = np.linspace(-1.5, 1.5, n + n % 2)[:n]  # an even number of steps leaves out 0
        return np.random.default_rng(seed).permutation(ladder).reshape(shape).astype(dtype)


def _columns(shape: Shape, batch: int) -> Shape:
    return (*shape, batch)


class Space:
    """All options and shapes of one layer."""

    def __init__(
        self,
        layer: str,
        shape: Callable[[Options], Any] | Sequence[Any],
        *,
        where: Callable[[Options, Shape], bool] = lambda options, shape: True,
        batches: Sequence[int] = (1, 2, 3, 7),
        analytic: bool = True,
        **options: Sequence[Any],
    ) -> None:
        """A layer with the values of its options and the shapes it takes.

        `shape` is one shape, a list of shapes to choose from, or a function from the
        options to either. `analytic`: the forward code also works with complex numbers,
        so the complex step applies.
        """
        self.layer, self.shape, self.where, self.batches = layer, shape, where, batches
        self.analytic, self.options = analytic, options

    def draw(self, choose: Callable[[Sequence[Any]], Any]) -> Case | None:
        """A case, in which `choose(values)` makes each decision.

        None if `where` excludes it.
        """
        options = {name: choose(values) for name, values in self.options.items()}
        pattern = self.shape(options) if callable(self.shape) else self.shape
        if isinstance(pattern, list):
            pattern = choose(pattern)
        shape = tuple(choose(s) if isinstance(s, range) else s for s in pattern)
        batch = choose(self.batches)
        if not self.where(options, shape):
            return None
        return Case(self.layer, tuple(options.items()), shape, batch, self)

    def __str__(self) -> str:
        return self.layer

    @property
    def present(self) -> bool:
        return hasattr(scratchnet.engine.layers, self.layer)

    def sample(self, number: int) -> list[Case]:
        """The smallest case, the largest, and some in between: the same ones in every
        run.
        """
        rng = random.Random(self.layer)
        ends = [self.draw(lambda values: values[0]), self.draw(lambda values: values[-1])]
        found: dict[str, Case] = {str(case): case for case in ends if case is not None}
        for _ in range(200 * number):
            if len(found) >= number:
                break
            case = self.draw(lambda values: rng.choice(list(values)))
            if case is not None:
                found[str(case)] = case
        return list(found.values())


def kernel_fits(o: Options, shape: Shape) -> bool:
    """Whether a window fits into the padded image, and the padding into half the
    window.
    """

    def pair(value: Any, default: int = 1) -> tuple[int, int]:
        return (default, default) if value is None else value if isinstance(value, tuple) else (value, value)

    kernel, padding, dilation = pair(o["kernel_size"]), pair(o.get("padding", 0)), pair(o.get("dilation", 1))
    pool = "in_channels" not in o
    return all(
        size + 2 * p >= d * (k - 1) + 1 and (not pool or p <= k // 2)
        for size, k, p, d in zip(shape[-2:], kernel, padding, dilation, strict=True)
    )


def output_padding_fits(o: Options, shape: Shape) -> bool:
    """Whether a transposed convolution has any output.

    Its output padding must be smaller than its stride or dilation.
    """

    def pair(value: Any) -> tuple[int, int]:
        return value if isinstance(value, tuple) else (value, value)

    names = ("kernel_size", "stride", "padding", "dilation", "output_padding")
    return all(
        op < max(s, d) and (size - 1) * s - 2 * p + d * (k - 1) + op + 1 >= 1
        for size, k, s, p, d, op in zip(shape[-2:], *(pair(o[name]) for name in names), strict=True)
    )


_IMAGE = (range(1, 4), range(1, 8), range(1, 8))
_KERNELS = (1, 2, 3, (1, 2), (3, 2))
_STRIDES = (1, 2, 3, (1, 2), (2, 1))
_PADDINGS = (0, 1, 2, (0, 1), (2, 1))
_DILATIONS = (1, 2, (1, 2), (2, 1))
_BOOLS = (True, False)

SPACES = tuple(
    space
    for space in (
        Space("Linear", lambda o: [(o["in_features"],), (range(1, 6), o["in_features"])],
              in_features=range(1, 13), out_features=range(1, 9), bias=_BOOLS, batches=(1, 2, 5, 64, 300)),
        Space("Embedding", [(range(1, 8),), (range(1, 4), range(1, 4))], num_embeddings=range(1, 9),
              embedding_dim=SIZES, padding_idx=(None, 0, -1)),
        Space("Flatten", FEATURES),
        Space("Sigmoid", FEATURES),
        Space("Tanh", FEATURES),
        Space("ReLU", FEATURES),
        Space("Softmax", FEATURES),
        Space("LogSoftmax", FEATURES),
        Space("Dropout", FEATURES, p=(0.0, 0.1, 0.5, 0.9)),
        Space("CropFlip", [_IMAGE], padding=(0, 1, 2, 9), flip=(0.0, 0.5, 1.0)),
        Space("Conv2d", lambda o: (o["in_channels"], range(1, 9), range(1, 9)), where=kernel_fits,
              in_channels=range(1, 4), out_channels=range(1, 4), kernel_size=_KERNELS, stride=_STRIDES,
              padding=_PADDINGS, dilation=_DILATIONS, bias=_BOOLS),
        Space("ConvTranspose2d", lambda o: (o["in_channels"], range(1, 6), range(1, 6)), where=output_padding_fits,
              in_channels=range(1, 4), out_channels=range(1, 4), kernel_size=_KERNELS, stride=_STRIDES,
              padding=_PADDINGS, dilation=_DILATIONS, output_padding=(0, 1, (0, 1), (1, 0)), bias=_BOOLS),
        *(
            Space(layer, [_IMAGE], where=kernel_fits, kernel_size=_KERNELS, stride=(None, *_STRIDES),
                  padding=(0, 1, (0, 1)))
            for layer in ("MaxPool2d", "MinPool2d", "AvgPool2d")
        ),
        Space("MedianPool2d", [_IMAGE], where=kernel_fits, kernel_size=_KERNELS, stride=(None, *_STRIDES)),
        Space("BatchNorm1d", lambda o: (o["num_features"],), num_features=SIZES, eps=(1e-5, 1e-3), momentum=(0.1, 0.5),
              batches=(2, 3, 7, 40)),
        Space("BatchNorm2d", lambda o: (o["num_features"], range(2, 6), range(1, 6)), num_features=range(1, 4),
              eps=(1e-5, 1e-3), momentum=(0.1, 0.5)),
        *(
            Space(layer, lambda o: (range(1, 8), o["input_size"]), input_size=range(1, 5), hidden_size=range(1, 6),
                  num_layers=(1, 2, 3), output=("last", "sequence"))
            for layer in ("RNN", "LSTM", "GRU")
        ),
    )
    if space.present
)  # fmt: skip

CASES = [case for space in SPACES for case in space.sample(8)]


def cases_by_profile(n: int) -> list[Any]:
    """All cases, as parameters of a test.

    The quick profile takes n of each layer: the smallest, the largest, and others; but
    none of hundreds of examples.
    """
    return [slow_if(k >= n or case.batch > 64, case) for space in SPACES for k, case in enumerate(space.sample(8))]


def layouts(a: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The same values in other memory orders.

    These are C, Fortran, every second element of a larger array, and reversed.
    """
    yield "C", np.ascontiguousarray(a)
    yield "Fortran", np.asfortranarray(a)
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan if a.dtype.kind == "f" else -1, a.dtype)
    wide[..., ::2] = a
    yield "strided", wide[..., ::2]
    yield "reversed", np.ascontiguousarray(a[::-1, ..., ::-1])[::-1, ..., ::-1]
