"""Plain text and HTML tables: aligned columns of labels and numbers."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Block", "Pairs", "Summary", "TableBlock", "TextBlock", "fixed", "number", "p_value"]


def number(x: float, digits: int = 4) -> str:
    """Return `x` with `digits` decimals, in scientific form where those would hide it; NaN is empty."""
    if np.isnan(x):
        return ""
    if np.isinf(x):
        return "inf" if x > 0 else "-inf"
    if x != 0.0 and (abs(x) < 10.0 ** (1 - digits) or abs(x) >= 1e7):
        return f"{x:.{max(digits - 2, 1)}e}"
    return f"{x:.{digits}f}"


def fixed(x: float, digits: int = 2) -> str:
    """Return `x` with `digits` decimals whatever its size; NaN is empty."""
    return "" if np.isnan(x) else f"{x:.{digits}f}"


def p_value(p: float) -> str:
    """Return a p-value with three decimals, as statsmodels prints it."""
    if np.isnan(p):
        return ""
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


@dataclass(frozen=True, slots=True)
class TableBlock:
    """A table with a title; the first `labels` columns are text, the others numbers set to the right."""

    title: str
    header: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    labels: int = 1

    def text(self) -> str:
        """Return the table as lines."""
        table = [self.header, *self.body]
        widths = [max(len(line[j]) for line in table) for j in range(len(self.header))]

        def line(cells: Sequence[str]) -> str:
            parts = [
                cell.ljust(width) if j < self.labels else cell.rjust(width)
                for j, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            return (" " + "  ".join(parts)).rstrip()

        rule = " " + "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([self.title, line(self.header), rule, *(line(cells) for cells in self.body)])

    def html(self) -> str:
        """Return the table as an HTML element."""

        def cells(tag: str, values: Sequence[str]) -> str:
            parts = []
            for j, value in enumerate(values):
                side = "left" if j < self.labels else "right"
                parts.append(f'<{tag} style="text-align:{side}">{html.escape(value)}</{tag}>')
            return "<tr>" + "".join(parts) + "</tr>"

        rows = "".join(cells("td", row) for row in self.body)
        return (
            f"<table><caption>{html.escape(self.title)}</caption>"
            f"<thead>{cells('th', self.header)}</thead><tbody>{rows}</tbody></table>"
        )


@dataclass(frozen=True, slots=True)
class Pairs:
    """Facts as ``name: value``, long values wrapped under themselves."""

    items: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """Return one line for each fact; a value of several lines is set under itself."""
        width = max(len(name) for name, _ in self.items) + 2
        return "\n".join(
            f"{name + ':':<{width}}" + value.replace("\n", "\n" + " " * width) for name, value in self.items
        )

    def html(self) -> str:
        """Return the facts as an HTML table."""
        rows = "".join(
            f'<tr><th style="text-align:left">{html.escape(name)}</th>'
            f'<td style="text-align:left">{html.escape(value).replace(chr(10), "<br>")}</td></tr>'
            for name, value in self.items
        )
        return f"<table><tbody>{rows}</tbody></table>"


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Lines of plain text: a heading, footnotes."""

    lines: tuple[str, ...]

    def text(self) -> str:
        """Return the lines."""
        return "\n".join(self.lines)

    def html(self) -> str:
        """Return the lines as a paragraph."""
        return "<p>" + "<br>".join(html.escape(line) for line in self.lines) + "</p>"


Block = TableBlock | Pairs | TextBlock


@dataclass(frozen=True, slots=True)
class Summary:
    """A page of blocks that prints as text and shows as HTML in a notebook."""

    blocks: tuple[Block, ...]

    def __str__(self) -> str:
        return "\n\n".join(block.text() for block in self.blocks)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return "".join(block.html() for block in self.blocks)
