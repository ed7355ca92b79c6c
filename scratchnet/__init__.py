"""scratchnet: neural networks from scratch, to read, to prove and to race.

The first hour of reading: equations, layers/base, layers/linear, layers/activation, losses, optim, training.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scratchnet.checkpoint import load as load
    from scratchnet.crossvalidation import CrossValidation as CrossValidation
    from scratchnet.crossvalidation import crossval as crossval
    from scratchnet.errors import CheckpointError as CheckpointError
    from scratchnet.errors import DataError as DataError
    from scratchnet.errors import DeviceError as DeviceError
    from scratchnet.errors import NonFiniteError as NonFiniteError
    from scratchnet.errors import ScratchnetError as ScratchnetError
    from scratchnet.errors import SettingError as SettingError
    from scratchnet.errors import ShapeError as ShapeError
    from scratchnet.foreign import load_hdf5 as load_hdf5
    from scratchnet.foreign import load_npy as load_npy
    from scratchnet.foreign import save_hdf5 as save_hdf5
    from scratchnet.gradients import GradientReport as GradientReport
    from scratchnet.gradients import gradcheck as gradcheck
    from scratchnet.layers import GRU as GRU
    from scratchnet.layers import LSTM as LSTM
    from scratchnet.layers import RNN as RNN
    from scratchnet.layers import AvgPool2d as AvgPool2d
    from scratchnet.layers import BatchNorm1d as BatchNorm1d
    from scratchnet.layers import BatchNorm2d as BatchNorm2d
    from scratchnet.layers import Conv2d as Conv2d
    from scratchnet.layers import ConvTranspose2d as ConvTranspose2d
    from scratchnet.layers import CropFlip as CropFlip
    from scratchnet.layers import Dropout as Dropout
    from scratchnet.layers import Flatten as Flatten
    from scratchnet.layers import Linear as Linear
    from scratchnet.layers import LogSoftmax as LogSoftmax
    from scratchnet.layers import MaxPool2d as MaxPool2d
    from scratchnet.layers import MedianPool2d as MedianPool2d
    from scratchnet.layers import MinPool2d as MinPool2d
    from scratchnet.layers import ReLU as ReLU
    from scratchnet.layers import Sequential as Sequential
    from scratchnet.layers import Sigmoid as Sigmoid
    from scratchnet.layers import Softmax as Softmax
    from scratchnet.layers import Tanh as Tanh
    from scratchnet.sequences import run_with_state as run_with_state
    from scratchnet.sequences import step_with_state as step_with_state
    from scratchnet.training import History as History
    from scratchnet.training import fit as fit
    from scratchnet.training import step as step

__version__ = "0.1.0"

# Public names by module, loaded on first use: `python -m scratchnet.train --help` needs none of them.
_NAMES = {
    "scratchnet.checkpoint": "load",
    "scratchnet.crossvalidation": "CrossValidation crossval",
    "scratchnet.errors": "CheckpointError DataError DeviceError NonFiniteError ScratchnetError SettingError ShapeError",
    "scratchnet.foreign": "load_hdf5 load_npy save_hdf5",
    "scratchnet.gradients": "GradientReport gradcheck",
    "scratchnet.training": "History fit step",
    "scratchnet.sequences": "run_with_state step_with_state",
    "scratchnet.layers": "AvgPool2d BatchNorm1d BatchNorm2d Conv2d ConvTranspose2d CropFlip MaxPool2d MedianPool2d "
    "MinPool2d Dropout Flatten GRU LSTM Linear LogSoftmax RNN ReLU Sequential Sigmoid Softmax Tanh",
    "scratchnet.losses": "CrossEntropyLoss MSELoss NLLLoss QuadraticCost",
    "scratchnet.optim": "SGD Adam AdamW",
    "scratchnet.schedules": "Constant Cosine Decay Exponential PerEpoch",
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
