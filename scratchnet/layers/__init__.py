"""The layers. One file per idea; `base.py` has the contract they all keep."""

from scratchnet.layers.activation import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from scratchnet.layers.augment import CropFlip
from scratchnet.layers.base import Layer
from scratchnet.layers.conv import Conv2d, ConvTranspose2d
from scratchnet.layers.gru import GRU
from scratchnet.layers.linear import Flatten, Linear
from scratchnet.layers.lstm import LSTM
from scratchnet.layers.norm import BatchNorm1d, BatchNorm2d
from scratchnet.layers.pool import AvgPool2d, MaxPool2d, MedianPool2d, MinPool2d
from scratchnet.layers.recurrent import RNN
from scratchnet.layers.regularise import Dropout
from scratchnet.layers.sequential import Sequential

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
