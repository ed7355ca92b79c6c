"""The public names, in one list, with one name per line.

Type checkers read it, and so does `__init__.py`, which imports names when they are
used.
"""

from scratchnet.backend.threads import set_threads as set_threads
from scratchnet.compare import compare as compare
from scratchnet.data.cifar import load_cifar10 as load_cifar10
from scratchnet.data.cifar import load_cifar100 as load_cifar100
from scratchnet.data.mnist import load_fashion_mnist as load_fashion_mnist
from scratchnet.data.mnist import load_mnist as load_mnist
from scratchnet.engine.crossvalidation import CrossValidation as CrossValidation
from scratchnet.engine.crossvalidation import crossval as crossval
from scratchnet.engine.fit import fit as fit
from scratchnet.engine.gradient_report import GradientReport as GradientReport
from scratchnet.engine.gradients import gradcheck as gradcheck
from scratchnet.engine.history import History as History
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
from scratchnet.engine.layers import Embedding as Embedding
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
from scratchnet.engine.losses import CrossEntropyLoss as CrossEntropyLoss
from scratchnet.engine.losses import MSELoss as MSELoss
from scratchnet.engine.losses import NLLLoss as NLLLoss
from scratchnet.engine.losses import QuadraticCost as QuadraticCost
from scratchnet.engine.metrics import accuracy as accuracy
from scratchnet.engine.metrics import evaluate as evaluate
from scratchnet.engine.optim import SGD as SGD
from scratchnet.engine.optim import Adam as Adam
from scratchnet.engine.optim import AdamW as AdamW
from scratchnet.engine.schedules import Constant as Constant
from scratchnet.engine.schedules import Cosine as Cosine
from scratchnet.engine.schedules import Decay as Decay
from scratchnet.engine.schedules import Exponential as Exponential
from scratchnet.engine.schedules import OneCycle as OneCycle
from scratchnet.engine.schedules import PerEpoch as PerEpoch
from scratchnet.engine.sequences import run_with_state as run_with_state
from scratchnet.engine.sequences import step_with_state as step_with_state
from scratchnet.engine.steps import step as step
from scratchnet.engine.trace import Trace as Trace
from scratchnet.errors import CheckpointError as CheckpointError
from scratchnet.errors import DataError as DataError
from scratchnet.errors import DeviceError as DeviceError
from scratchnet.errors import NonFiniteError as NonFiniteError
from scratchnet.errors import ScratchnetError as ScratchnetError
from scratchnet.errors import ScratchnetWarning as ScratchnetWarning
from scratchnet.errors import SettingError as SettingError
from scratchnet.errors import ShapeError as ShapeError
from scratchnet.models.foreign import load_hdf5 as load_hdf5
from scratchnet.models.foreign import load_npy as load_npy
from scratchnet.models.foreign import save_hdf5 as save_hdf5
from scratchnet.models.foreign import save_npy as save_npy
from scratchnet.models.network import load as load
from scratchnet.models.network import register as register
from scratchnet.runs.tensorboard import TensorBoard as TensorBoard

__version__: str
