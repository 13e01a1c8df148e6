# SPDX-License-Identifier: Apache-2.0
"""One check of one host: what was found, what was expected, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypedDict


class Failure(NamedTuple):
    """Why a check does not hold, and what to do."""

    found: str
    remedy: str


class CheckRow(TypedDict):
    """A check in a report."""

    name: str
    ok: bool
    found: str
    expected: str
    remedy: str  # empty where the check holds


# What is found of a check that needs a release, on a host where nobody deployed one.
NOT_APPLICABLE = "not applicable: nothing is deployed here, its worker was found"


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    found: str
    expected: str
    remedy: str

    @classmethod
    def holds(cls, name: str, expected: str, found: str) -> Check:
        return cls(name, True, found=found, expected=expected, remedy="")

    @classmethod
    def fails(cls, name: str, expected: str, failure: Failure) -> Check:
        return cls(name, False, found=failure.found, expected=expected, remedy=failure.remedy)

    def as_dict(self) -> CheckRow:
        return {
            "name": self.name,
            "ok": self.ok,
            "found": self.found,
            "expected": self.expected,
            "remedy": "" if self.ok else self.remedy,
        }
