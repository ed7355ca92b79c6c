"""`python -m scratchnet.backquery MODEL`: run a network backwards.

It goes from each label to the image that the network finds most typical of it. Letters:
z weighted input, a activation, W weights, b biases; K labels; x the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from scratchnet.backend.arrays import to_numpy
from scratchnet.backend.threads import blas_threads
from scratchnet.cli import guard, parse, printable
from scratchnet.data.handwriting import SIZE
from scratchnet.data.model_inputs import classes_of, image_input
from scratchnet.engine.layers import Dropout, Linear, LogSoftmax, Sequential, Sigmoid, Softmax
from scratchnet.engine.layers.activation import softmax
from scratchnet.engine.learner import Learner
from scratchnet.errors import CheckpointError
from scratchnet.models.network import check_work, load, model_file

MOST_LABELS = 100
STEPS, RATE, FADE = 200, 0.1, 0.15  # of the ascent; rate and fade in shares of a pixel's range
BLUR = 1.0  # pixels

INVERTED = "every layer inverted, from the label to the pixels"
ASCENDED = "found by gradient ascent on the label's probability, from an empty image"
#: Why the images look as they do
WHY = {
    INVERTED: "Ink where the weights, followed backwards, speak for the label; all ways to write it are in one image",
    ASCENDED: (
        "Not whole digits: a network needs to tell the classes apart, and so only the strokes are drawn, and the empty "
        "places, in which this class differs from the others; what all have in common tells it nothing"
    ),
}


@dataclass(frozen=True)
class Options:
    """Draw what a trained network finds most typical of each label."""

    model: tyro.conf.Positional[Path]
    """A run with images, such as runs/mnist-book, or its model.safetensors."""
    out: Path | None = None
    """The PNG file to write; by default backquery.png beside the model."""


def backquery(net: Sequential) -> tuple[np.ndarray, str]:
    """Images (K, H, W), and how they were found.

    The layers are inverted if all activations are sigmoids; otherwise gradient ascent
    finds the images. Raises CheckpointError if the network's input is not an image.
    """
    shape, scale, shift = image_input(net)
    layers = [layer for layer in net.layers if not isinstance(layer, Dropout)]
    K = net.shapes_from(shape)[-1][0]
    if K > MOST_LABELS:
        raise CheckpointError(f"this model has {K:,} labels; up to {MOST_LABELS} are drawn")
    check_work(net, shape, K)
    if (
        layers
        and all(isinstance(layer, Linear) for layer in layers[::2])
        and all(isinstance(la, Sigmoid) for la in layers[1::2])
    ):
        return invert(net).reshape(-1, SIZE, SIZE), INVERTED
    with blas_threads(1):  # enough for one image per label
        images = ascend(net, shape, scale, shift)
    return images, ASCENDED


def invert(net: Sequential) -> np.ndarray:
    """Images (K, pixels), by σ⁻¹ and Wᵀ in place of σ and W.

    The values are scaled to 0.01 to 0.99 before every σ⁻¹. Wᵀ is not the inverse of W,
    but it sends back to every neuron whatever speaks for it. Source: T. Rashid, Make
    Your Own Neural Network (2016), part 3, "Backwards query".
    """
    layers = [layer for layer in net.layers if not isinstance(layer, Dropout)]
    if isinstance(layers[-1], Linear):
        layers.append(Sigmoid())
    K = to_numpy(net.params[list(net.params)[-1]].value).shape[0]
    a = np.full((K, K), 0.01)
    np.fill_diagonal(a, 0.99)
    for layer in reversed(layers):
        if isinstance(layer, Sigmoid):
            a = np.log(a / (1 - a))  # z = σ⁻¹(a)
        elif isinstance(layer, Linear):
            z = a if layer.b is None else a - to_numpy(layer.b.value)[:, None]
            a = to_numpy(layer.W.value).T @ z
            a -= a.min(axis=0)
            a *= 0.98 / np.maximum(a.max(axis=0), 1e-12)
            a += 0.01
    return a.T


def ascend(net: Sequential, shape: tuple[int, ...], scale: float, shift: float) -> np.ndarray:
    """Images (K, ...) that climb ∂ ln p_k/∂x, from an empty image.

    This is the gradient of the log-probability of their label. Every step blurs the
    gradient and fades all ink a little, so that only strokes remain that matter:
    without this, noise would already satisfy a network. Source: K. Simonyan et al.,
    Deep inside convolutional networks, ICLR workshop (2014).
    """
    from scipy.ndimage import gaussian_filter

    layers = net.layers[:-1] if isinstance(net.layers[-1], (LogSoftmax, Softmax)) else net.layers
    learn, range_ = Learner(training=False), 255 * scale
    K = net.shapes_from(shape)[-1][0]
    ink = np.zeros((SIZE, SIZE, K))  # from 0 to 1
    for step in range(STEPS):
        x = net.xp.asarray((ink * range_ + shift).reshape(*shape, K), dtype=net.dtype)
        passed = list(zip(layers, net.walk(x, learn), strict=False))
        delta = net.xp.eye(K, dtype=net.dtype) - softmax(passed[-1][1][0])  # ∂ ln p_k/∂y, for image k in column k
        for layer, (_, cache) in reversed(passed):
            delta = layer.backward(delta, cache, learn, True)
        g = gaussian_filter(to_numpy(delta).reshape(ink.shape).astype(np.float64), [BLUR, BLUR, 0])
        g /= np.abs(g).max(axis=(0, 1)) + 1e-30
        ink = np.clip(ink + RATE * (1 - step / STEPS) * (g - FADE), 0, 1)
    return np.moveaxis(ink, -1, 0)


def main(args: Sequence[str]) -> int:
    from scratchnet.plots import studies as plots
    from scratchnet.plots.style import save

    options = parse(Options, args, "python -m scratchnet.backquery")
    net = load(options.model)
    names = list(map(printable, classes_of(net, net.shapes_from(image_input(net)[0])[-1][0])))
    with np.errstate(all="ignore"):
        images, how = backquery(net)
    if not np.isfinite(images).all():
        raise CheckpointError(f"{options.model}: the images are NaN or infinite: this network cannot be run backwards")
    low, high = (a.reshape(-1, 1, 1) for a in (images.min(axis=(1, 2)), images.max(axis=(1, 2))))
    pixels = np.round(255 * (images - low) / np.maximum(high - low, 1e-12)).astype(np.uint8)
    out = options.out or model_file(options.model).parent / "backquery.png"
    why = f"{how[0].upper()}{how[1:]}. {WHY[how]}"
    save(plots.image_grid(pixels, names, "What the network finds most typical", why), out)
    print(f"{len(pixels)} images, {how}: {out}")
    return 0


if __name__ == "__main__":
    guard(main)
