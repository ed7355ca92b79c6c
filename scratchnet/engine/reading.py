"""Training steps on examples that are read while the steps are made.

Letters: N examples in a batch.
"""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.sources import source_of
from scratchnet.engine.steps import Steps

#: Examples that are read at a time, at least: asking for each batch by itself would
#: take longer than reading it, if batches are small
BLOCK = 256
BLOCKS_AHEAD = 2
#: Numbers that are read at a time, at most, unless a single batch has more
LARGEST = 2**24


class ReadingSteps(Steps):
    """Steps on a source: a thread reads the next examples while a step is made."""

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Any, target: Any, batch_size: int = 1
    ) -> None:
        self.reader: ThreadPoolExecutor | None = None
        self.blocks: dict[int, Future[np.ndarray]] = {}
        super().__init__(net, loss, optimiser, x, target, batch_size)
        self.most = max(1, LARGEST // max(1, math.prod(self.x.shape[1:])))  # examples
        self.per_block = max(1, min(-(-BLOCK // batch_size), self.most // batch_size))  # batches

    def as_data(self, x: Any) -> Any:
        return source_of(x)

    def some(self, n: int = 1) -> tuple[Array, Array]:
        n = min(n, self.most)
        return self.net.as_input(self.x[:n]), self.target[:n]

    def begin(self, order: Array, losses: Array, at: int = 0) -> None:
        super().begin(order, losses, at)
        self.end()
        self.reader = ThreadPoolExecutor(1, "scratchnet-reader")
        self.rows = to_numpy(order)

    def batch(self, k: int, part: slice = slice(None)) -> tuple[Array, Array]:
        if self.reader is None:
            return super().batch(k, part)
        block, first = divmod(k, self.per_block)
        size = self.per_block * self.batch_size
        last = (len(self.rows) - 1) // size
        for b in range(block, min(block + BLOCKS_AHEAD, last) + 1):
            if b not in self.blocks:
                self.blocks[b] = self.reader.submit(self.x.read, self.rows[b * size : (b + 1) * size])
        self.blocks = {b: read for b, read in self.blocks.items() if b >= block}
        x = self.blocks[block].result()[first * self.batch_size : (first + 1) * self.batch_size]
        chosen = self.order[k * self.batch_size : (k + 1) * self.batch_size]
        return x[part], self.target[chosen][part]

    def end(self) -> None:
        if self.reader is not None:
            self.reader.shutdown(cancel_futures=True)
        self.reader, self.blocks = None, {}
