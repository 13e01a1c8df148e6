# SPDX-License-Identifier: Apache-2.0
"""What could not be read. A decision that needs it ends with a sentence: it never passes for an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..machine.logs import Reach
from .moments import utc

if TYPE_CHECKING:
    from .host_view import HostView

OF_A_HOST = {
    "workers": "the workers",
    "release": "the release record",
    "states": "the releases",
    "services": "the containers of the serving release",
    "gate": "the standby gate",
    "written": "the files of the serving release",
    "proxy": "nginx's log",
    "api": "the API's log",
    "clock_skew_seconds": "the clock",
    "time": "the clock",
}
OF_A_WORKER = {
    "running": "the state",
    "connected": "the connection",
    "agent_name": "the name in effect",
    "worker_id": "the worker id",
    "sdk_version": "the livekit-agents version",
    "requests": "the job requests",
    "troubles": "the job processes that died",
    "unknown_errors": "the lines of level ERROR",
    "oom_killed": "whether a process was killed for want of memory",
}
# A part that could not be read is empty in the evidence and named by a sentence there: what these say is not known.
UNREAD = {
    "the release record": ("release", "states", "services", "gate", "written"),
    "the release and its containers": ("states", "services", "drift"),
    "the containers": ("states", "services", "projects"),
    "the workers": ("workers",),
    "the standby gate": ("gate",),
    "what the release's files say now": ("written",),
}
# How sentences about workers begin that could not be looked at.
HIDDEN_WORKERS = ("the search for workers", "the workers", "worker ", "containers", "the environment of")


class MissingError(Exception):
    """Something that a decision needs could not be read; the text says what."""


class QuietError(MissingError):
    """Nothing happened that would have shown it."""


def need(data: Mapping[str, object], key: str, what: str) -> Any:
    """Return a value that has to be known; MissingError where it is not."""
    return known_value(data.get(key), what)


def known_value(value: Any, what: str) -> Any:
    """Return a value; MissingError where it is None."""
    if value is None:
        raise MissingError(f"{what} is not known")
    return value


def as_mapping(value: object) -> Any:
    """Return a copy of a mapping; an empty one for anything else. Who calls it names its type."""
    return dict(value) if isinstance(value, Mapping) else {}


def as_mappings(value: object) -> list[Any]:
    """Return the mappings of a list; none for anything else."""
    return [dict(item) for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def reading_reach(reading: Mapping[str, object], what: str) -> Reach:
    """Return from when to when a reading reaches; MissingError where that is not known."""
    found = as_mapping(need(reading, "reach", f"how far back {what} reaches"))
    if any(key not in found for key in Reach._fields):
        raise MissingError(f"how far back {what} reaches is not known")
    return Reach(**{key: found[key] for key in Reach._fields})


def beginning_text(reach: Reach) -> str:
    """Say where a reading begins, and why not before."""
    since = f"begins at {utc(reach.begins)}" if reach.begins is not None else "has a beginning that is not known"
    return since + (f" ({reach.why})" if reach.why else "")


def read_parts(given: Mapping[str, object]) -> Any:
    """Return the evidence of a host without the parts that could not be read, by the sentences in it."""
    sentences = unread_sentences(given)
    gone = {key for what, keys in UNREAD.items() if is_unread(what, sentences) for key in keys}
    return {key: value for key, value in given.items() if key not in gone}


def unread_sentences(evidence: Mapping[str, object]) -> list[str]:
    found: Any = evidence.get("unread")
    return [str(text) for text in found or []]


def is_unread(what: str, sentences: Sequence[str]) -> bool:
    return any(text.startswith(f"{what} could not be read") for text in sentences)


def hosts_not_read(hosts: Sequence[HostView]) -> list[str]:
    """Return what could not be read of hosts, a sentence each."""
    outside = [host.name for host in hosts if host.outside]
    whole = [f"{host.name}: {host.unread}" for host in hosts if host.unread and not host.outside]
    whole += [f"outside this run (--limit): {', '.join(outside)}"] if outside else []
    read = [host for host in hosts if not host.unread]
    parts = [f"{host.name}: {text}" for host in read for text in unread_sentences(host.evidence)]
    return list(dict.fromkeys([*whole, *parts]))
