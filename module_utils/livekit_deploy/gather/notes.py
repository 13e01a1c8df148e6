# SPDX-License-Identifier: Apache-2.0
"""The sentences about what could not be read of a host."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from ..common.times import iso
from ..machine import docker, logs
from ..release.errors import ReleaseError

T = TypeVar("T")
TROUBLE = (OSError, ValueError, LookupError, TypeError, AttributeError, re.error, docker.EngineError, ReleaseError)


class Notes:
    """The sentences about what could not be read, each once."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def add(self, sentence: str | None) -> None:
        if sentence and sentence not in self.sentences:
            self.sentences.append(sentence)

    def attempt(self, what: str, call: Callable[[], T], otherwise: T) -> T:
        """What ``call`` answers; when it cannot, a sentence and ``otherwise``."""
        try:
            return call()
        except TROUBLE as error:
            self.add(f"{what} could not be read: {str(error).strip()[:300] or type(error).__name__}")
            return otherwise


def reach_note(what: str, reach: logs.Reach, since: float) -> str | None:
    """A sentence about a reading that does not reach back to the time looked at."""
    if reach.covers(since):
        return None
    begins = (
        f"begins at {iso(reach.begins, 'seconds')}" if reach.begins is not None else "has a beginning that is not known"
    )
    return f"{what} {begins}, and not at {iso(since, 'seconds')} or before" + (f": {reach.why}" if reach.why else "")
