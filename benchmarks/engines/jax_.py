"""JAX: one jitted function per training step.

Its parameters are donated, so that they may be updated in place.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# otherwise JAX takes three quarters of a GPU's memory, of which the others need some
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np

import scratchnet as sn
from benchmarks.engines import Missing, Trainer
from benchmarks.workloads import Workload
from benchmarks.ynnpack import hold_jax
from scratchnet.engine.layers import Flatten, Layer

hold_jax()


def apply(layer: Layer, p: dict[str, Any], x: Any) -> Any:
    """The layer's output for a batch (N, ...) and its parameters."""
    match layer:
        case sn.Linear():
            z = x @ p["weight"].T
            return z + p["bias"] if layer.bias else z
        case sn.Sigmoid():
            return jax.nn.sigmoid(x)
        case sn.ReLU():
            return jax.nn.relu(x)
        case sn.LogSoftmax():
            return jax.nn.log_softmax(x)
        case Flatten():
            return x.reshape(len(x), -1)
        case sn.Conv2d():
            return jax.lax.conv(x, p["weight"], (1, 1), "VALID") + p["bias"][:, None, None]
        case sn.MaxPool2d():
            k, s, pad = layer.kernel_size, layer.stride, layer.padding
            around = ((0, 0), (0, 0), (pad, pad), (pad, pad))
            return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, k, k), (1, 1, s, s), around)
        case sn.LSTM():
            return lstm(p, x)
    raise Missing(f"no translation of {layer}")


def apply_trained(layer: Layer, p: dict[str, Any], running: dict[str, Any], x: Any, training: bool) -> tuple[Any, Any]:
    """`apply`, for layers that act otherwise in training too; and the running means."""
    match layer:
        case sn.BatchNorm2d():
            return batch_norm(layer, p, running, x, training)
        case sn.Conv2d():
            pad = [(layer.padding, layer.padding)] * 2
            y = jax.lax.conv_general_dilated(x, p["weight"], (layer.stride, layer.stride), pad)
            return (y + p["bias"][:, None, None] if layer.bias else y), running
    return apply(layer, p, x), running


def batch_norm(
    layer: sn.BatchNorm2d, p: dict[str, Any], running: dict[str, Any], x: Any, training: bool
) -> tuple[Any, Any]:
    mean, var = running["running_mean"], running["running_var"]
    if training:
        count, m = x.size / x.shape[1], layer.momentum
        mean, var = jnp.mean(x, (0, 2, 3)), jnp.var(x, (0, 2, 3))
        running = {
            "running_mean": (1 - m) * running["running_mean"] + m * mean,
            "running_var": (1 - m) * running["running_var"] + m * var * count / (count - 1),
        }
    scale = p["weight"] / jnp.sqrt(var + layer.eps)
    return x * scale[:, None, None] + (p["bias"] - mean * scale)[:, None, None], running


def lstm(p: dict[str, Any], x: Any) -> Any:
    """The h of the last time step.

    The inputs' part of all gates is one product before the walk.
    """
    z = jnp.swapaxes(x, 0, 1) @ p["weight_ih_l0"].T + p["bias_ih_l0"] + p["bias_hh_l0"]

    def at_time(state: Any, z_t: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(z_t + h @ p["weight_hh_l0"].T, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    h = jnp.zeros((len(x), p["weight_hh_l0"].shape[1]), x.dtype)
    return jax.lax.scan(at_time, (h, h), z)[0][0]


def cost(work: Workload, y: Any, t: Any) -> Any:
    match work.loss:
        case "sse":
            return jnp.sum((y - t) ** 2)
        case "mse":
            return jnp.mean((y - t) ** 2)
        case "cross-entropy":
            y = jax.nn.log_softmax(y)
    return -jnp.mean(jnp.take_along_axis(y, t[:, None], 1))


def update(work: Workload, w: Any, g: Any, state: Any) -> tuple[Any, Any]:
    """New parameters and state, for trees of arrays."""
    tree = jax.tree_util.tree_map
    if work.optimiser == "adam":
        m, v, t = state
        t = t + 1
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        c1, c2 = 1 - 0.9**t, 1 - 0.999**t
        return tree(lambda w, m, v: w - work.lr * (m / c1) / (jnp.sqrt(v / c2) + 1e-8), w, m, v), (m, v, t)
    if work.momentum:
        state = tree(lambda v, g: work.momentum * v + g, state, g)
        g = state
    return tree(lambda w, g: w - work.lr * g, w, g), state


@dataclass(frozen=True)
class Looped(Trainer):
    """A Trainer that makes as many steps per call as it can; the rest one by one."""

    steps: Callable[[], object] = lambda: None
    together: int = 1

    def __call__(self, n: int) -> None:
        if self.together > 1:
            for _ in range(n // self.together):
                self.steps()
            n %= self.together
        super().__call__(n)


def train_scan(work: Workload, device: str) -> Trainer:
    """A hundred steps as one jitted loop, `lax.scan`."""
    if work.optimiser is None:
        raise Missing("it is for training")
    return train(work, device, together=100)


def train(work: Workload, device: str, together: int = 1) -> Trainer:
    try:
        where = jax.devices("gpu" if device == "cuda" else "cpu")[0]
    except RuntimeError as e:
        raise Missing(f"JAX finds no GPU: {str(e).splitlines()[0]}") from None
    layers = work.layers()
    start = sn.Sequential(*layers, seed=work.seed).state_dict()
    tree = jax.tree_util.tree_map
    with jax.default_device(where):
        w = [{} for _ in layers]
        for name, value in start.items():
            w[int(name.partition(".")[0])][name.partition(".")[2]] = jnp.array(value)
        batches = [(jnp.array(x), jnp.array(t, jnp.int32 if t.dtype.kind == "i" else None)) for x, t in work.batches()]
        state: Any = None
        if work.optimiser == "adam":
            state = (tree(jnp.zeros_like, w), tree(jnp.zeros_like, w), jnp.float32(0))
        elif work.momentum:
            state = tree(jnp.zeros_like, w)

    def forward(w: Any, x: Any) -> Any:
        for layer, p in zip(layers, w):
            x = apply(layer, p, x)
        return x

    if work.optimiser is None:
        predict = jax.jit(forward)
        return Trainer(batches, lambda x, t: predict(w, x).block_until_ready())

    def jitted(w: Any, state: Any, x: Any, t: Any) -> tuple[Any, Any, Any]:
        value, g = jax.value_and_grad(lambda w: cost(work, forward(w, x), t))(w)
        return *update(work, w, g, state), value

    one = jax.jit(jitted, donate_argnums=(0, 1))
    kept = [w, state]

    def step(x: Any, t: Any) -> None:
        kept[0], kept[1], _ = one(*kept, x, t)

    def looped(w: Any, state: Any, x: Any, t: Any) -> Any:
        return jax.lax.scan(lambda both, batch: (jitted(*both, *batch)[:2], None), (w, state), (x, t))[0]

    loop = jax.jit(looped, donate_argnums=(0, 1))
    rounds = -(-together // len(batches))
    x, t = (jnp.stack(([batch[k] for batch in batches] * rounds)[:together]) for k in (0, 1))

    def steps() -> None:
        kept[0], kept[1] = loop(*kept, x, t)

    def weights() -> list[np.ndarray]:
        return [np.asarray(kept[0][int(i)][key]) for i, _, key in (name.partition(".") for name in start)]

    return Looped(batches, step, lambda: jax.block_until_ready(kept[0]), weights, steps=steps, together=together)
