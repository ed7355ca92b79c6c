"""Handwritten-style digits that this file draws. They are not MNIST.

The study mnist trains on them if MNIST is out of reach. Letters: n images of one
template, K control points, P points of ink along the strokes, (x, y) with y pointing
down.

A digit consists of a few strokes, each a smooth curve through control points in a box
of height 1. For each image the control points tremble, a smooth random field bends the
page (elastic distortion), and the result is sheared, turned and stretched. Then it is
scaled and placed as MNIST's digits are: in a box of 20 x 20 pixels, with its centre of
mass in the middle of 28 x 28. The ink of a pixel follows from its distance to the
nearest point of the pen's path, so edges are smooth at any thickness.
"""

from math import cos, pi, sin

import numpy as np

from scratchnet.data import Images
from scratchnet.errors import SettingError

Stroke = list[tuple[float, float]]

SIDE, BOX = 28, 20  # pixels
POINTS = 80  # of ink per digit: an 8, the longest, is about 65 pixels long, so no gaps show


def load_digits(seed: int = 0, train: int = 10_000, test: int = 2_000) -> Images:
    """Training and test images (n, 28, 28) uint8, white on black, with labels 0 to 9.

    The classes are balanced. The same seed draws the same images; training and test
    images come from different random streams. Raises SettingError for a negative seed
    or a size below 1.
    """
    if seed < 0 or train < 1 or test < 1:
        raise SettingError(f"digits: seed must be from 0, train and test from 1, not {seed}, {train} and {test}")
    train_rng, test_rng = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    return Images(*_draw_set(train_rng, train), *_draw_set(test_rng, test))


# ------------------------------------------------------------------------- the shapes


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float, points: int = 7) -> Stroke:
    """Points on an ellipse around (x, y) between two angles; 0° is right, 90° down."""
    angles = [(start + (end - start) * i / (points - 1)) * pi / 180 for i in range(points)]
    # rounded, so that a full turn ends where it began
    return [(round(x + rx * cos(t), 6), round(y + ry * sin(t), 6)) for t in angles]


# The styles of each digit: (how common, strokes). Where two strokes share a point, they
# meet in a corner.
TEMPLATES: dict[int, list[tuple[float, list[Stroke]]]] = {
    0: [
        (3, [_arc(0.35, 0.5, 0.34, 0.5, -90, -450)]),  # closed
        (2, [_arc(0.35, 0.5, 0.35, 0.5, -60, -440)]),  # begun at the right, overlapping
        (1, [_arc(0.35, 0.5, 0.36, 0.48, -75, -405)]),  # not quite closed
    ],
    1: [
        (4, [[(0.35, 0.0), (0.35, 0.5), (0.35, 1.0)]]),
        (2, [[(0.14, 0.24), (0.27, 0.12), (0.38, 0.0)], [(0.38, 0.0), (0.38, 0.5), (0.38, 1.0)]]),  # with a flag
        (1, [[(0.16, 0.22), (0.27, 0.12), (0.38, 0.0)], [(0.38, 0.0), (0.38, 0.5), (0.38, 1.0)],
             [(0.12, 1.0), (0.38, 1.0), (0.64, 1.0)]]),  # and a foot
    ],
    2: [
        (3, [[(0.06, 0.24), (0.16, 0.06), (0.36, 0.0), (0.57, 0.1), (0.58, 0.32), (0.4, 0.6), (0.05, 0.98)],
             [(0.05, 0.98), (0.35, 0.95), (0.7, 0.97)]]),
        (2, [[(0.04, 0.2), (0.2, 0.02), (0.45, 0.02), (0.58, 0.2), (0.5, 0.5), (0.28, 0.82), (0.1, 0.98), (0.02, 0.88),
              (0.14, 0.78), (0.36, 0.9), (0.54, 0.98), (0.74, 0.9)]]),  # with a loop
        (1, [[(0.04, 0.12), (0.3, 0.0), (0.56, 0.1), (0.56, 0.36), (0.34, 0.66), (0.08, 0.92), (0.3, 0.95),
              (0.72, 0.9)]]),
    ],
    3: [
        (3, [[(0.06, 0.14), (0.22, 0.01), (0.46, 0.03), (0.56, 0.2), (0.44, 0.4), (0.22, 0.47)],
             [(0.22, 0.47), (0.48, 0.52), (0.6, 0.72), (0.48, 0.94), (0.22, 1.0), (0.0, 0.88)]]),
        (1, [[(0.04, 0.04), (0.3, 0.02), (0.56, 0.02)], [(0.56, 0.02), (0.42, 0.2), (0.26, 0.42)],
             [(0.26, 0.42), (0.5, 0.46), (0.6, 0.7), (0.46, 0.95), (0.2, 1.0), (0.0, 0.9)]]),  # with a flat top
        (1, [[(0.06, 0.1), (0.28, 0.0), (0.5, 0.08), (0.52, 0.28), (0.34, 0.45), (0.24, 0.5), (0.42, 0.5), (0.58, 0.66),
              (0.52, 0.9), (0.26, 1.0), (0.02, 0.94)]]),  # with a small loop
    ],
    4: [
        (3, [[(0.1, 0.02), (0.06, 0.3), (0.06, 0.52), (0.2, 0.58), (0.62, 0.52)],
             [(0.6, 0.0), (0.58, 0.4), (0.54, 1.0)]]),  # open
        (2, [[(0.5, 0.0), (0.26, 0.34), (0.02, 0.66)], [(0.02, 0.66), (0.36, 0.66), (0.76, 0.64)],
             [(0.5, 0.0), (0.5, 0.5), (0.5, 1.0)]]),  # closed
        (2, [[(0.12, 0.04), (0.08, 0.3), (0.04, 0.54)], [(0.04, 0.54), (0.36, 0.54), (0.72, 0.5)],
             [(0.5, 0.22), (0.48, 0.6), (0.46, 1.0)]]),  # angular, with a short stem
    ],
    5: [
        (3, [[(0.64, 0.02), (0.4, 0.02), (0.16, 0.04)], [(0.16, 0.04), (0.13, 0.22), (0.1, 0.44)],
             [(0.1, 0.44), (0.34, 0.36), (0.58, 0.52), (0.58, 0.8), (0.34, 1.0), (0.0, 0.92)]]),
        (2, [[(0.66, 0.0), (0.4, 0.02), (0.2, 0.1), (0.12, 0.3), (0.22, 0.44), (0.46, 0.54), (0.56, 0.74), (0.42, 0.94),
              (0.18, 1.0), (0.0, 0.92)]]),  # in one curve
        (1, [[(0.18, 0.06), (0.14, 0.24), (0.12, 0.42)],
             [(0.12, 0.42), (0.4, 0.38), (0.56, 0.58), (0.5, 0.86), (0.26, 1.0), (0.02, 0.94)],
             [(0.16, 0.04), (0.44, 0.06), (0.74, 0.0)]]),  # with the bar drawn last
    ],
    6: [
        (3, [[(0.5, 0.0), (0.26, 0.16), (0.08, 0.46), (0.06, 0.78), (0.24, 0.99), (0.5, 0.92), (0.58, 0.7),
              (0.44, 0.52), (0.22, 0.58), (0.08, 0.76)]]),
        (2, [[(0.34, 0.0), (0.14, 0.3), (0.05, 0.66), (0.14, 0.94), (0.38, 0.98), (0.52, 0.82), (0.46, 0.62),
              (0.28, 0.58), (0.08, 0.72)]]),  # with a straight back
        (1, [[(0.62, 0.06), (0.42, 0.0), (0.18, 0.2), (0.05, 0.56), (0.12, 0.9), (0.36, 1.0), (0.56, 0.84), (0.52, 0.6),
              (0.32, 0.5), (0.12, 0.62)]]),  # with a bent top
    ],
    7: [
        (3, [[(0.0, 0.06), (0.32, 0.05), (0.64, 0.02)], [(0.64, 0.02), (0.42, 0.46), (0.26, 1.0)]]),
        (1, [[(0.0, 0.06), (0.32, 0.05), (0.64, 0.02)], [(0.64, 0.02), (0.42, 0.46), (0.26, 1.0)],
             [(0.2, 0.52), (0.42, 0.5), (0.64, 0.48)]]),  # with a bar
        (1, [[(0.02, 0.24), (0.03, 0.14), (0.04, 0.04)], [(0.04, 0.04), (0.34, 0.06), (0.66, 0.02)],
             [(0.66, 0.02), (0.48, 0.4), (0.36, 1.0)]]),  # with a serif
        (2, [[(0.0, 0.12), (0.2, 0.03), (0.46, 0.05), (0.6, 0.12), (0.5, 0.4), (0.34, 0.7), (0.24, 1.0)]]),  # curved
    ],
    8: [
        (3, [[(0.54, 0.12), (0.34, 0.0), (0.12, 0.1), (0.14, 0.32), (0.36, 0.5), (0.54, 0.72), (0.44, 0.95),
              (0.22, 0.99), (0.06, 0.8), (0.18, 0.58), (0.4, 0.42), (0.56, 0.24), (0.54, 0.12)]]),  # in one stroke
        (2, [_arc(0.32, 0.25, 0.22, 0.25, 90, 450), _arc(0.32, 0.75, 0.28, 0.25, -90, 270)]),  # two rings
        (1, [[(0.6, 0.04), (0.36, 0.02), (0.14, 0.14), (0.22, 0.38), (0.44, 0.6), (0.48, 0.86), (0.28, 1.0),
              (0.1, 0.84), (0.2, 0.58), (0.42, 0.36), (0.62, 0.1)]]),  # open at the top
    ],
    9: [
        (3, [[(0.58, 0.16), (0.4, 0.0), (0.14, 0.08), (0.05, 0.32), (0.2, 0.5), (0.42, 0.42), (0.58, 0.16)],
             [(0.58, 0.16), (0.56, 0.5), (0.5, 1.0)]]),
        (2, [[(0.54, 0.2), (0.38, 0.02), (0.14, 0.1), (0.06, 0.34), (0.24, 0.5), (0.44, 0.4), (0.55, 0.18), (0.57, 0.5),
              (0.5, 0.84), (0.3, 1.0), (0.08, 0.92)]]),  # with a hook
        (2, [_arc(0.3, 0.25, 0.25, 0.25, -20, -380), [(0.56, 0.06), (0.54, 0.5), (0.36, 1.0)]]),  # ring and stick
    ],
}  # fmt: skip


def _basis(K: int, at: np.ndarray) -> np.ndarray:
    """The matrix (len(at), K) from K control points to points on their curve.

    It is a Catmull-Rom curve, and `at` runs from 0, the first control point, to
    K − 1, the last. Source: E. Catmull
    and R. Rom, A class of local interpolating splines (1974).
    """
    i = np.minimum(at.astype(int), K - 2)
    t = at - i
    weights = 0.5 * np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2])
    B = np.zeros((len(at), K))
    for shift, weight in zip((-1, 0, 1, 2), weights, strict=True):
        np.add.at(B, (np.arange(len(at)), np.clip(i + shift, 0, K - 1)), weight)
    return B


def _compile(strokes: list[Stroke]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Control points (K, 2), matrix (P, K), and how far along its stroke each point is.

    The points of ink are evenly spaced over all strokes; that distance runs from 0 to
    1. A control point that two strokes share counts once.
    """
    control = list(dict.fromkeys(p for stroke in strokes for p in stroke))
    dense = np.linspace(0, 1, 200)
    paths = [_basis(len(s), dense * (len(s) - 1)) @ np.array(s) for s in strokes]
    lengths = [np.concatenate([[0], np.hypot(*np.diff(path, axis=0).T).cumsum()]) for path in paths]
    ends = np.round(np.cumsum([length[-1] for length in lengths]) / sum(length[-1] for length in lengths) * POINTS)
    B, along = np.zeros((POINTS, len(control))), np.zeros(POINTS)
    first = 0
    for stroke, length, end in zip(strokes, lengths, ends.astype(int), strict=True):
        share = np.linspace(0, 1, end - first)
        at = np.interp(share * length[-1], length, dense) * (len(stroke) - 1)
        for k, weight in enumerate(_basis(len(stroke), at).T):
            B[first:end, control.index(stroke[k])] += weight
        along[first:end], first = share, end
    return np.array(control), B, along


# ----------------------------------------------------------------- one hand per image


def _draw_set(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.permutation(np.arange(n) % 10)
    images = np.empty((n, SIDE, SIDE), np.uint8)
    for digit, styles in TEMPLATES.items():
        mine = np.flatnonzero(labels == digit)
        share = np.array([common for common, _ in styles])
        style = rng.choice(len(styles), len(mine), p=share / share.sum())
        for s, (_, strokes) in enumerate(styles):
            which = mine[style == s]
            images[which] = _ink(rng, *_place(rng, *_pen_path(rng, len(which), strokes)))
    return images, labels


def _pen_path(rng: np.random.Generator, n: int, strokes: list[Stroke]) -> tuple[np.ndarray, np.ndarray]:
    """n hands writing the same strokes: points (n, P, 2) and pressure (n, P).

    The unit of length is the height of the digit.
    """
    control, B, along = _compile(strokes)
    centre = np.array([0.33, 0.5])
    trembling = rng.normal(0, 0.028, (n, *control.shape))
    points = B @ (control - centre + trembling)
    # elastic distortion: a field of three plane waves, about as long as the digit is
    # high, moves every point
    wave = rng.normal(0, 4.0, (n, 2, 3))
    phase = rng.uniform(0, 2 * pi, (n, 1, 3))
    points += np.sin(points @ wave + phase) @ rng.normal(0, 0.032, (n, 3, 2))
    # slant, stretch and rotation as one matrix
    slant, turn = rng.normal(0.16, 0.2, n), rng.normal(0, 0.09, n)
    stretch = np.exp(rng.normal(0, 0.14, n))
    c, s, zero, one = np.cos(turn), np.sin(turn), np.zeros(n), np.ones(n)
    shear = np.stack([stretch, -slant, zero, one], -1).reshape(n, 2, 2)
    rotation = np.stack([c, -s, s, c], -1).reshape(n, 2, 2)
    points = points @ (rotation @ shear).swapaxes(1, 2)
    # the pen presses harder somewhere and lifts towards the end
    pressure = 1 + rng.normal(0, 0.1, (n, 1)) * np.sin(along * pi + rng.uniform(0, pi, (n, 1)))
    pressure -= rng.uniform(0, 0.25, (n, 1)) * along**4
    return points, pressure


def _place(rng: np.random.Generator, points: np.ndarray, pressure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """To pixels: fit the digit into the box and its centre of mass into the middle.

    The box includes the pen's radius.
    """
    n = len(points)
    radius = np.clip(np.exp(rng.normal(0.22, 0.26, (n, 1))), 0.75, 2.3) * pressure
    low, high = points.min(axis=1), points.max(axis=1)
    room = BOX - 2 * radius.mean(axis=1)
    scale = room / (high - low).max(axis=1) * np.minimum(rng.normal(0.98, 0.04, n), 1.04)
    points = points * scale[:, None, None]
    mass = (points * radius[..., None]).sum(axis=1) / radius.sum(axis=1, keepdims=True)
    shift = (SIDE - 1) / 2 + rng.normal(0, 0.3, (n, 2)) - mass
    margin = radius.max(axis=1, keepdims=True) + 0.5
    # so that nothing is cut off
    shift = np.clip(shift, margin - points.min(axis=1), SIDE - 1 - margin - points.max(axis=1))
    return points + shift[:, None], radius


def _ink(rng: np.random.Generator, points: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The images (n, 28, 28) that a round pen leaves along the points.

    The ink of a pixel falls with its distance from them.
    """
    n = len(points)
    softness = rng.uniform(0.8, 1.5, n).astype(np.float32)  # width of the edge in pixels
    y, x = np.mgrid[:SIDE, :SIDE].reshape(2, -1).astype(np.float32)
    # |p − q|²/r² for all pixels p and points q is one small product: (|q|², −2q, 1)/r²
    # times (1, p, |p|²)
    pixels = np.stack([np.ones_like(x), x, y, x * x + y * y])
    parts = [(points**2).sum(-1), -2 * points[..., 0], -2 * points[..., 1], np.ones_like(radius)]
    path = (np.stack(parts, -1) / radius[..., None] ** 2).astype(np.float32)
    nearest = np.empty((n, SIDE * SIDE), np.float32)
    for k in range(n):
        (path[k] @ pixels).min(axis=0, out=nearest[k])
    distance = np.sqrt(np.maximum(nearest, 0)) - 1  # to the edge of the stroke, in radii
    distance *= radius.mean(axis=1, keepdims=True).astype(np.float32)
    ink = np.clip(0.5 - distance / softness[:, None], 0, 1)
    return np.round(255 * ink).astype(np.uint8).reshape(n, SIDE, SIDE)
