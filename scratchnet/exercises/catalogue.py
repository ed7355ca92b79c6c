"""All exercises, in their order."""

from scratchnet.cli import known
from scratchnet.exercises import equations, lstm, neurons, optimisers, pictures, regularising, sequences, whole_layers
from scratchnet.exercises.task import Exercise

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for exercise in (
        neurons.NEURON,
        neurons.SIGMOID,
        neurons.COST,
        neurons.DESCENT,
        equations.BP1,
        equations.BP2,
        equations.BP3,
        equations.BP4,
        whole_layers.LINEAR,
        whole_layers.SOFTMAX,
        optimisers.MOMENTUM,
        optimisers.ADAM,
        pictures.CONVOLUTION,
        pictures.CONVOLUTION_BACK,
        pictures.POOLING,
        sequences.RECURRENT,
        sequences.RECURRENT_BACK,
        lstm.LONG,
        lstm.LONG_BACK,
        regularising.BATCH_NORM,
        regularising.DROPOUT,
    )
}


def exercise(name: str) -> Exercise:
    """The exercise of a name as a learner types it: 06_bp2, 06_bp2.py, bp2, or 6.

    Raises SettingError if there is none.
    """
    wanted = name.replace("\\", "/").rstrip("/").rpartition("/")[2].removesuffix(".py")
    for full, one in EXERCISES.items():
        number, _, word = full.partition("_")
        if wanted in (full, word, number, number.lstrip("0")):
            return one
    return EXERCISES[known(wanted, list(EXERCISES), "exercise")]
