# SPDX-License-Identifier: Apache-2.0
"""Why a step of an eviction does not begin."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"found: {self.found}. Expected: {self.expected}. To do: {self.remedy}"

    def as_dict(self) -> dict[str, str]:
        return {"found": self.found, "expected": self.expected, "remedy": self.remedy}
