"""Which kind of steps a training takes: the decision, and all that it depends on.

The first time on a machine, Numba needs seconds to compile a kind of steps. It is worth
that if the steps save more. How much they save is estimated from the network's
arithmetic and not measured, so that the same training always takes the same steps and
gives the same bits.
"""

from typing import NamedTuple

from scratchnet.backend.sparse import is_sparse
from scratchnet.engine import compiling
from scratchnet.engine.kernels.batch_graph_steps import BatchGraphSteps, supported_batch
from scratchnet.engine.kernels.compiled_steps import CompiledBatches, CompiledSteps
from scratchnet.engine.kernels.fused_steps import FusedSteps, can_be_joined
from scratchnet.engine.kernels.graph_steps import GraphSteps
from scratchnet.engine.kernels.layer_graph_steps import LayerGraphSteps, supported_layers
from scratchnet.engine.kernels.parts import compile_parts
from scratchnet.engine.kernels.persistent_steps import PersistentSteps, supported_in_one_launch
from scratchnet.engine.kernels.sequence_steps import CompiledSequences, supported_sequences
from scratchnet.engine.kernels.steps import supported, supported_in_batches
from scratchnet.engine.sources import Source
from scratchnet.engine.steps import Steps


class Price(NamedTuple):
    """What a kind of steps costs and saves, on one core of an Intel Xeon.

    Seconds to compile it, rounded up; seconds that every step saves, rounded down; and
    what it saves besides, as a share of the seconds that the step's products need at
    SPEED. benchmarks/README.md has the measurement.
    """

    compiling: float
    saved: float
    saved_share: float


SPEED = 1e11  # operations per second
PRICES = {
    CompiledSteps: Price(3.5, 27e-6, 0.3),
    CompiledBatches: Price(7.3, 30e-6, 0.05),
    CompiledSequences: Price(9.0, 130e-6, 0.4),
    FusedSteps: Price(6.0, 100e-6, 0.7),
}


def kind_of_steps(plain: Steps, steps: int, threads: int) -> type[Steps]:
    """The class that makes these steps fastest: `Steps`, or one of the kernels'."""
    if not (type(plain) is Steps or (isinstance(plain.x, Source) and plain.x.fits)) or is_sparse(plain.x):
        return Steps
    if plain.net.device == "cuda":
        return kind_on_a_gpu(plain)
    kind = kind_on_a_cpu(plain, threads)
    return kind if kind in PRICES and compiling.installed() and worth_compiling(kind, plain, steps) else Steps


def kind_on_a_gpu(plain: Steps) -> type[Steps]:
    net, loss, optimiser = plain.net, plain.loss, plain.optimiser
    vectors = plain.x.ndim == 2
    if vectors and supported(net, loss, optimiser, plain.batch_size) is None:
        return PersistentSteps if supported_in_one_launch(net) is None else GraphSteps
    batches = vectors and supported_in_batches(net, loss, optimiser) is None
    if batches and supported_batch(net, plain.batch_size) is None:
        return BatchGraphSteps
    return LayerGraphSteps if supported_layers(plain) is None else Steps


def kind_on_a_cpu(plain: Steps, threads: int) -> type[Steps]:
    """The compiled kind that can make these steps, if there is one."""
    net, loss, optimiser = plain.net, plain.loss, plain.optimiser
    if plain.x.ndim == 2 and supported(net, loss, optimiser, plain.batch_size) is None:
        return CompiledSteps
    if plain.x.ndim == 2 and supported_in_batches(net, loss, optimiser) is None:
        return CompiledBatches if threads == 1 else Steps  # these use one thread
    if plain.x.ndim == 3 and threads == 1 and supported_sequences(net, loss, optimiser) is None:
        return CompiledSequences
    return FusedSteps if can_be_joined(net) else Steps


def worth_compiling(kind: type[Steps], plain: Steps, steps: int) -> bool:
    """Whether so many steps of this kind save more time than compiling takes."""
    net, price = plain.net, PRICES[kind]
    shapes = net.shapes_from(plain.x.shape[1:])
    forward = sum(layer.operations(shape) for layer, shape in zip(net.layers, shapes, strict=False))
    products = 3 * forward * min(plain.batch_size, plain.examples) / SPEED  # forward, and two of the same size back
    return steps * (price.saved + price.saved_share * products) > price.compiling


def fastest(plain: Steps, steps: int, threads: int) -> Steps:
    """The fastest way to make this number of steps, in place of plain ones."""
    kind = kind_of_steps(plain, steps, threads)
    if kind is Steps:
        if type(plain) is Steps and plain.net.device == "cuda":
            plain.how = f"{Steps.how} ({supported_layers(plain)})"
        compile_parts(plain.optimiser, steps)
        return plain
    x = plain.x[:] if isinstance(plain.x, Source) else plain.x
    return kind(plain.net, plain.loss, plain.optimiser, x, plain.target, plain.batch_size)
