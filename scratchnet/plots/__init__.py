"""Plots: `style` is the house style; every other file draws one family of plots.

They return a figure of Matplotlib, which shows itself in a notebook; `style.save`
writes it. Those that draw one picture take the axes `ax` to draw on. For your own use:
`boundary`, the plane of two inputs as a network sees it; `learning_curves` of several
trainings; `confusion`, `worst_mistakes` and `image_grid`; and `weights_as_images`. A
history and a network draw themselves: `history.plot()`, `net.draw()`.
"""

from scratchnet.plots.first_layer import weights_as_images as weights_as_images
from scratchnet.plots.learning import learning_curves as learning_curves
from scratchnet.plots.plane import boundary as boundary
from scratchnet.plots.studies import confusion as confusion
from scratchnet.plots.studies import image_grid as image_grid
from scratchnet.plots.studies import worst_mistakes as worst_mistakes
