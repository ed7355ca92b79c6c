"""A network as a table: every layer with its output shape and number of parameters."""

from typing import TYPE_CHECKING

from scratchnet.engine.layers.base import Layer, Shape, shape_text
from scratchnet.engine.tables import html_table

if TYPE_CHECKING:
    from scratchnet.engine.layers.sequential import Sequential


def trained(layer: Layer) -> int:
    """The number of a layer's trained parameters."""
    return sum(p.size for p in layer.params() if p.trained)


def as_text(net: "Sequential", shapes: list[Shape]) -> str:
    """Lines for a terminal; `shapes` are those of `Sequential.shapes_from`."""
    rows = [("layer", "output shape", "parameters"), ("input", shape_text(shapes[0]), "")]
    rows += [(f"{i} {layer}", shape_text(shapes[i + 1]), f"{trained(layer):,}") for i, layer in enumerate(net.layers)]
    rows.append(("total", "", f"{net.size:,}"))
    w0, w1, w2 = (max(map(len, column)) for column in zip(*rows))
    lines = [f"{a:<{w0}}  {b:<{w1}}  {c:>{w2}}" for a, b, c in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def as_html(net: "Sequential") -> str:
    """A table for a notebook."""
    rows = [{"": i, "layer": str(layer), "parameters": trained(layer)} for i, layer in enumerate(net.layers)]
    return f"<p>Sequential: {net.size:,} parameters, {net.dtype}, {net.device}</p>{html_table(rows)}"
