"""A figure of Matplotlib that a notebook shows, also without pyplot.

Jupyter learns how to show figures when pyplot is imported, which plots here never do.
This module imports Matplotlib, so it is imported when the first plot is drawn.
"""

import io
import sys
from typing import Any

from matplotlib.figure import Figure

# pyplot tells Jupyter how it wants figures to be shown; this says so for ours, which
# are a kind of them
if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()) is not None:
    pictures = shell.display_formatter.formatters["image/png"]
    pictures.for_type_by_name(__name__, "ShownFigure", lambda figure: figure._repr_png_())

PIXELS = 80  # of a notebook's page, for each inch


class ShownFigure(Figure):
    """A figure that is the picture of itself where it is the last line of a cell."""

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        """The picture, and how large the page shows it: sharp on fine screens too."""
        content = io.BytesIO()
        self.savefig(content, format="png")
        width, height = (round(PIXELS * float(inches)) for inches in self.get_size_inches())
        return content.getvalue(), {"width": width, "height": height}
