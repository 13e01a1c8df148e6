# SPDX-License-Identifier: Apache-2.0
"""One check of one host: what was found, what was expected, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    found: str
    expected: str
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ok": self.ok,
            "found": self.found,
            "expected": self.expected,
            "remedy": "" if self.ok else self.remedy,
        }
