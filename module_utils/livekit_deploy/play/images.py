# SPDX-License-Identifier: Apache-2.0
"""Which images a run releases: what tags were resolved to, and what archives hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..inventory.archives import ArchivedImages, archived_images, host_archives
from .run import ARCHIVES, DIGESTS, HostRun, Runs


def digests(runs: Runs, hosts: Sequence[str]) -> dict[str, Any]:
    """What a run's tags were resolved to, by the first host that could; else why none could. The same for all hosts."""
    results = [runs[host].result(name) for name in DIGESTS for host in hosts]
    found = [result for result in results if result and not result.get("skipped")]
    return next((result for result in found if result.get("digests") is not None), found[-1] if found else {})


def archived(run: HostRun, app: str) -> ArchivedImages:
    """Of what was read: a host's image names by reference, archives by those names, and why one could not be read."""
    mine = host_archives(run.variables)
    answer = run.result(ARCHIVES)
    if not mine or answer.get("skipped"):
        return {"images": {}, "archives": {}, "unread": ""}
    if "archives" not in answer:
        return {"images": {}, "archives": {}, "unread": str(answer.get("msg") or "the image archives were not read")}
    return archived_images([one for one in answer["archives"] if mine.get(one["image"]) == one["path"]], app)


def named(runs: Runs, hosts: Sequence[str], host: str, app: str) -> dict[str, Any]:
    """The names of a host's images by reference, the archives by those names, and why some are not resolved."""
    resolved, held = digests(runs, hosts), archived(runs[host], app)
    return {
        "names": {**(resolved.get("digests") or {}), **held["images"]},
        "archives": held["archives"],
        "unresolved": " ".join(filter(None, [str(resolved.get("msg") or ""), held["unread"]])),
    }
