# SPDX-License-Identifier: Apache-2.0
"""How tables are written."""

from __future__ import annotations

from ansible.module_utils.livekit_deploy.common.table import markdown_table, terminal_table


def test_a_column_is_as_wide_as_its_longest_cell_and_no_line_ends_in_blanks() -> None:
    assert terminal_table(("host", "id"), [("node-a", "1"), ("b", "")]) == [
        "host    id",
        "------  --",
        "node-a  1",
        "b",
    ]


def test_a_table_without_rows_has_its_headings() -> None:
    assert terminal_table(("host",), []) == ["host", "----"]


def test_no_cell_ends_a_cell_or_a_line_of_markdown() -> None:
    assert markdown_table(("a", "b"), [("x|y", "two\nlines")]) == "| a | b |\n| --- | --- |\n| x\\|y | two lines |"
