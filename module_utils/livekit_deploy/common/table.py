# SPDX-License-Identifier: Apache-2.0
"""Tables: in columns for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GAP = "  "


def terminal_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the headings, a rule, and a line for each row. A column is as wide as its longest cell."""
    widths = column_widths([headings, *rows])
    return [*heading_lines(headings, widths), *(table_line(row, widths) for row in rows)]


def column_widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def heading_lines(headings: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the headings and the rule below them."""
    return [table_line(headings, widths), table_line(["-" * width for width in widths], widths)]


def table_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; what would end a cell or a line is taken out of the cells."""
    cells = [[" ".join(str(cell).replace("|", "\\|").split()) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, ["---"] * len(headings), *cells))
