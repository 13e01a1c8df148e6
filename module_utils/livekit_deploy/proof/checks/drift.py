# SPDX-License-Identifier: Apache-2.0
"""Files and containers are those of the release."""

from __future__ import annotations

from ..observed import Host
from .check import Check


def check_drift(host: Host) -> Check:
    expected = f"files and containers are those of release {host.release or '(none)'}"
    if host.drift is None or not host.release:
        return Check(
            "drift",
            False,
            "the release was not read" if host.drift is None else "no release",
            expected,
            host.deploy_command,
        )
    found, running = list(host.drift), host.worker().get("release")
    if running != host.release:
        found.append(f"the serving worker is of release {running}" if host.worker() else "no serving worker")
    return Check(
        "drift",
        not found,
        "; ".join(found) or expected,
        expected,
        f"{host.deploy_command} (makes a new release), after a look at what was edited by hand",
    )
