# SPDX-License-Identifier: Apache-2.0
"""What the inventory gives to rehearsals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..common import values
from . import environment


def rehearsal_problems(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[str]:
    """Hosts whose metadata for a rehearsal cannot be sent: found before anything is touched, and not in the middle."""
    problems = []
    for host in hosts:
        try:
            given = hostvars[host].get("livekit_agent_rehearsal_metadata") or {}
            read = [f"{host}: {one}" for one in environment.untextual(given, "livekit_agent_rehearsal_metadata")]
            problems += [f"{one}, expected a text: {values.QUOTES}" for one in read]
            json.dumps(None if read else given)
        except Exception:
            problems.append(f"{host}: livekit_agent_rehearsal_metadata cannot be written as JSON, expected a plain dict. Correct it")
    return problems
