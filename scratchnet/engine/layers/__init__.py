"""The layers, one file per idea. `base.py` has the contract that they all keep."""

from scratchnet.engine.layers.activation import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from scratchnet.engine.layers.augment import CropFlip
from scratchnet.engine.layers.base import Layer
from scratchnet.engine.layers.conv import Conv2d, ConvTranspose2d
from scratchnet.engine.layers.embedding import Embedding
from scratchnet.engine.layers.gru import GRU
from scratchnet.engine.layers.linear import Flatten, Linear
from scratchnet.engine.layers.lstm import LSTM
from scratchnet.engine.layers.norm import BatchNorm1d, BatchNorm2d
from scratchnet.engine.layers.pool import AvgPool2d, MaxPool2d, MedianPool2d, MinPool2d
from scratchnet.engine.layers.recurrent import RNN
from scratchnet.engine.layers.regularise import Dropout
from scratchnet.engine.layers.sequential import Sequential

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "ConvTranspose2d",
    "CropFlip",
    "Dropout",
    "Embedding",
    "Flatten",
    "Layer",
    "Linear",
    "LogSoftmax",
    "MaxPool2d",
    "MedianPool2d",
    "MinPool2d",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
]
