"""scratchnet: neural networks from scratch, to read, to prove and to race.

The first hour of reading, in `engine/`: equations, layers/base, layers/linear,
layers/activation, losses, optim, training.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scratchnet.engine.crossvalidation import CrossValidation as CrossValidation
    from scratchnet.engine.crossvalidation import crossval as crossval
    from scratchnet.engine.gradients import GradientReport as GradientReport
    from scratchnet.engine.gradients import gradcheck as gradcheck
    from scratchnet.engine.layers import GRU as GRU
    from scratchnet.engine.layers import LSTM as LSTM
    from scratchnet.engine.layers import RNN as RNN
    from scratchnet.engine.layers import AvgPool2d as AvgPool2d
    from scratchnet.engine.layers import BatchNorm1d as BatchNorm1d
    from scratchnet.engine.layers import BatchNorm2d as BatchNorm2d
    from scratchnet.engine.layers import Conv2d as Conv2d
    from scratchnet.engine.layers import ConvTranspose2d as ConvTranspose2d
    from scratchnet.engine.layers import CropFlip as CropFlip
    from scratchnet.engine.layers import Dropout as Dropout
    from scratchnet.engine.layers import Flatten as Flatten
    from scratchnet.engine.layers import Linear as Linear
    from scratchnet.engine.layers import LogSoftmax as LogSoftmax
    from scratchnet.engine.layers import MaxPool2d as MaxPool2d
    from scratchnet.engine.layers import MedianPool2d as MedianPool2d
    from scratchnet.engine.layers import MinPool2d as MinPool2d
    from scratchnet.engine.layers import ReLU as ReLU
    from scratchnet.engine.layers import Sequential as Sequential
    from scratchnet.engine.layers import Sigmoid as Sigmoid
    from scratchnet.engine.layers import Softmax as Softmax
    from scratchnet.engine.layers import Tanh as Tanh
    from scratchnet.engine.sequences import run_with_state as run_with_state
    from scratchnet.engine.sequences import step_with_state as step_with_state
    from scratchnet.engine.training import History as History
    from scratchnet.engine.training import fit as fit
    from scratchnet.engine.training import step as step
    from scratchnet.errors import CheckpointError as CheckpointError
    from scratchnet.errors import DataError as DataError
    from scratchnet.errors import DeviceError as DeviceError
    from scratchnet.errors import NonFiniteError as NonFiniteError
    from scratchnet.errors import ScratchnetError as ScratchnetError
    from scratchnet.errors import SettingError as SettingError
    from scratchnet.errors import ShapeError as ShapeError
    from scratchnet.models.foreign import load_hdf5 as load_hdf5
    from scratchnet.models.foreign import load_npy as load_npy
    from scratchnet.models.foreign import save_hdf5 as save_hdf5
    from scratchnet.models.network import load as load

__version__ = "0.1.0"

# Public names by module, loaded on first use: `python -m scratchnet.train --help` needs none of them.
_NAMES = {
    "scratchnet.models.network": "load",
    "scratchnet.engine.crossvalidation": "CrossValidation crossval",
    "scratchnet.errors": "CheckpointError DataError DeviceError NonFiniteError ScratchnetError SettingError ShapeError",
    "scratchnet.models.foreign": "load_hdf5 load_npy save_hdf5",
    "scratchnet.engine.gradients": "GradientReport gradcheck",
    "scratchnet.engine.training": "History fit step",
    "scratchnet.engine.sequences": "run_with_state step_with_state",
    "scratchnet.engine.layers": "AvgPool2d BatchNorm1d BatchNorm2d Conv2d ConvTranspose2d CropFlip MaxPool2d "
    "MedianPool2d MinPool2d Dropout Flatten GRU LSTM Linear LogSoftmax RNN ReLU Sequential Sigmoid Softmax Tanh",
    "scratchnet.engine.losses": "CrossEntropyLoss MSELoss NLLLoss QuadraticCost",
    "scratchnet.engine.optim": "SGD Adam AdamW",
    "scratchnet.engine.schedules": "Constant Cosine Decay Exponential PerEpoch",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'scratchnet' has no attribute '{name}'")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
