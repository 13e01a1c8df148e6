# SPDX-License-Identifier: Apache-2.0
"""A release that failed is taken back, and what its containers said last is kept for the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from ..common.text import Masker
from ..machine import docker
from ..worker import failed_start, log_events, log_words
from . import containers, drain, images, records, switch
from .errors import TROUBLE
from .store import Releases

LOOKED_AT, LAST_WORDS = 500, 6


class Abandoned(TypedDict):
    """What became of a release that was taken back."""

    serving: str | None  # the release that serves now
    log: list[str]  # the last lines of the failed containers
    draining: list[str]  # releases that are still busy


def take_back(releases: Releases, release_id: str) -> Abandoned:
    """Take back a release that failed: the one before it serves (again), what the failed one started goes.
    Where there is no way back, because the one before does not run or is being stopped, the failed one serves on.

    The way back comes first, then the look at what failed, then the clearing; neither of these two undoes it.
    """
    failed, current = releases.record(release_id), releases.current()
    if failed and current and current["id"] == release_id:
        if not switch.can_go_back(releases, failed):
            return {"serving": release_id, "log": release_log(releases, release_id), "draining": []}
        switch.switch_back(releases, failed)
    switch.recover(releases)
    log, busy = release_log(releases, release_id), False
    try:
        images.store_images(releases).drop_sent()
        busy = drain.clear_release(releases, release_id, drain.Ending(5.0))
    except TROUBLE as error:
        log.append(f"what {release_id} has started is not cleared, the next run does that: {error}")
    now_serving = releases.current()
    return {"serving": now_serving["id"] if now_serving else None, "log": log, "draining": [release_id] if busy else []}


def release_log(releases: Releases, release_id: str) -> list[str]:
    """The last lines of a release's containers. What they say, or that nothing can be read of them, keeps nothing from
    being done."""
    try:
        found = docker.containers(releases.run)
        services = containers.services(releases, release_id, found)
        given = {container["Id"]: docker.environment(container) for container in found}
        lines = {name: last_lines_of(releases, one["id"], given.get(one["id"], {})) for name, one in services.items()}
    except TROUBLE as error:
        return [f"the containers of {release_id} cannot be read: {log_events.short(Masker()(str(error)))}"]
    log = [f"{name.lstrip('/')}: {line}" for name, some in lines.items() for line in some]
    # What keeps a worker from starting is said where it is waited for.
    what_to_set = failed_start.start_remedy(lines.get(records.API, []), "agent_api")
    return [*log, *([f"{records.API}: {what_to_set}"] if what_to_set else [])]


def last_lines_of(releases: Releases, container: str, environment: Mapping[str, str]) -> list[str]:
    """The last lines of a container's log, or why it has none to read."""
    masker = Masker()
    try:
        masker = Masker.of(environment, *releases.environments())
        lines = docker.log_lines(releases.run, container, LOOKED_AT)
        return [log_events.short(masker(line)) for line in log_words.telling(lines, LAST_WORDS)]
    except Exception as error:  # foreign text, whatever it is
        return [f"its log cannot be read: {log_events.short(masker(str(error)))}"]
