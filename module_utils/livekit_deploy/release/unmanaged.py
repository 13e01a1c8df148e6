# SPDX-License-Identifier: Apache-2.0
"""A worker that nobody deployed with this project: on a host without a release the worker of the inventory's name is
the entry's own, whoever started it.

It is read as if it were of a release with the id ``unmanaged``: whatever looks at releases looks at it, too. Nothing of
it is written.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..worker.readings import WORKER_SERVICE, worker_name
from ..worker.types import WorkerReading
from .adopted import claimed
from .records import HostInfo, Record

UNMANAGED = "unmanaged"


def own_workers(workers: Sequence[WorkerReading], agent_name: str) -> list[WorkerReading]:
    """Return the workers under a name that say of no release that they are of it; those that run come first.

    One that has stopped counts only where none runs.
    """
    named = [one for one in workers if agent_name and not one.get("release") and worker_name(one) == agent_name]
    return [one for one in named if one["running"]] or named


def with_unmanaged(reading: HostInfo, app: str, agent_name: str) -> HostInfo:
    """Return a reading of a host in which the worker of the inventory's name is of the release ``unmanaged``; as it is
    where a release serves, or nobody has the name."""
    mine = own_workers(reading.get("workers") or [], agent_name)
    if reading.get("release") or not mine:
        return reading
    record: Record = {
        "id": UNMANAGED,
        "app": app,
        "state": "serving",
        "agent_name": agent_name,
        "services": [WORKER_SERVICE],
        "hook": False,
        "gated": False,
        "unmanaged": True,
    }
    # Older livekit-agents log no name.
    workers: list[WorkerReading] = [
        {**one, "agent_name": agent_name} if one in mine else one for one in reading["workers"]
    ]
    found: HostInfo = {
        **reading,
        "workers": workers,
        "release": record,
        "states": {**reading.get("states", {}), UNMANAGED: "serving"},
        "adopted": {**reading.get("adopted", {}), **{one["container"]: UNMANAGED for one in mine}},
    }
    return claimed(found, found["adopted"])
