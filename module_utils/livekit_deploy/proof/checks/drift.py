# SPDX-License-Identifier: Apache-2.0
"""Files and containers are those of the release."""

from __future__ import annotations

from ..observed import Observed
from .check import NOT_APPLICABLE, Check, Failure


def check_drift(host: Observed) -> Check:
    expected = f"files and containers are those of release {host.release or '(none)'}"
    if host.unmanaged:
        return Check.holds("drift", expected, NOT_APPLICABLE)
    if host.drift is None or not host.release:
        unread = "the release was not read" if host.drift is None else "no release"
        return Check.fails("drift", expected, Failure(unread, host.deploy_command))
    found, running = list(host.drift), host.worker().get("release")
    if running != host.release:
        found.append(f"the serving worker is of release {running}" if host.worker() else "no serving worker")
    if not found:
        return Check.holds("drift", expected, expected)
    remedy = f"{host.deploy_command} (makes a new release), after a look at what was edited by hand"
    return Check.fails("drift", expected, Failure("; ".join(found), remedy))
