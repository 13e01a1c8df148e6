# SPDX-License-Identifier: Apache-2.0
"""A stand-in for ``command.Runner``, made from a function that answers an argument list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

Answer = Callable[[Sequence[str]], "tuple[int, str, str]"]


class Said:
    """As ``command.Lines``: what was answered, line by line."""

    def __init__(self, answer: tuple[int, str, str], cut: str = "") -> None:
        self.status: int | None
        self.status, out, err = answer
        self.text, self.cut, self.last = out + err, cut, ""

    def __iter__(self) -> Iterator[str]:
        for line in self.text.splitlines():
            self.last = line
            yield line


class Told:
    """Runs nothing: answers what a function answers."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def __call__(self, argv: Sequence[str], /) -> tuple[int, str, str]:
        return self.answer(argv)

    # Nothing is long.
    def lines(self, argv: Sequence[str], /, seconds: float | None = None, max_bytes: int = 0) -> Said:  # noqa: ARG002
        return Said(self.answer(argv))
