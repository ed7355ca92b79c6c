"""Which layers have compiled loops, and where; importing this file imports Numba."""

from scratchnet.engine.kernels import convolution, pooling
from scratchnet.engine.layers import Conv2d, ConvTranspose2d, MaxPool2d, MinPool2d
from scratchnet.engine.tuned import hand_in_loops

hand_in_loops((Conv2d, ConvTranspose2d), convolution)
hand_in_loops((MaxPool2d, MinPool2d), pooling)
