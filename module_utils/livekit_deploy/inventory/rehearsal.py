# SPDX-License-Identifier: Apache-2.0
"""What a rehearsal's job gets from the inventory. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..common import values
from . import environment
from .variables import HostVars

METADATA = "livekit_agent_rehearsal_metadata"


def rehearsal_problems(hostvars: HostVars, hosts: Iterable[str]) -> list[str]:
    """Return hosts whose metadata for a rehearsal cannot be sent: found before anything is touched."""
    problems = []
    for host in hosts:
        try:
            given = hostvars[host].get(METADATA) or {}
            found = [f"{host}: {one}" for one in environment.untextual(given, METADATA)]
            problems += [f"{one}, expected a text: {values.QUOTES}" for one in found]
            json.dumps(None if found else given)
        except Exception:
            problems.append(f"{host}: {METADATA} cannot be written as JSON, expected a plain dict. Correct it")
    return problems
