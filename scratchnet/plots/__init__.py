"""Plots: `style` is the house style; every other file draws one family of plots.

For your own use: `boundary`, the plane of two inputs as a network sees it.
"""

from scratchnet.plots.plane import boundary as boundary
