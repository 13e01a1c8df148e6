# SPDX-License-Identifier: Apache-2.0
"""A dispatch to a random agent name finds nobody."""

from __future__ import annotations

from typing import Any

from ...common.commands import Playbooks
from .check import Check


def check_nobody(probe: dict[str, Any], playbooks: Playbooks) -> Check:
    expected = "a dispatch to a random agent name finds nobody"
    if not probe:
        return Check("nobody", False, "no such probe was sent", expected, playbooks.start("verify.yml"))
    ok = probe.get("outcome") == "nobody"
    found = str(probe.get("reason") or ("nobody" if ok else "no answer"))
    remedy = f"find out who {probe.get('worker_id')} is: it takes any name, so no other check proves anything"
    return Check(
        "nobody",
        ok,
        found,
        expected,
        remedy if probe.get("outcome") == "taken" else "see what was found, and run verify.yml again",
    )
