"""What to do with one job request: a pure function of its metadata, this instance and the gate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

MARKER = "livekit_deploy_probe"
REHEARSAL = "livekit_deploy_rehearsal"
VERSION = 1
DIRECTIONS = ("release", "instance")
PROCESS = "process"


class Gate(Enum):
    """Whether this worker takes real calls."""

    OPEN = "open"
    CLOSED = "closed"


class Decision(Enum):
    """What happens to one job request."""

    ANSWER = "answer"
    """``reject(terminate=True)``: the search ends here, the job is listed with our worker id."""
    PASS = "pass"  # noqa: S105 - the word is a decision, no password
    """``reject(terminate=False)``: the server asks every other worker of the name."""
    APPLICATION = "application"
    """Not a probe: the application's own ``on_request`` decides."""


@dataclass(frozen=True)
class Probe:
    """A dispatch that carries the marker. Fields are as sent, of any JSON type."""

    version: Any
    nonce: Any
    mode: Any
    directions: dict[str, Any]
    """The given ones of ``release`` and ``instance``; ``null`` counts as not given."""
    instances: Any
    """The instances to pass the probe on, None for all. ``<instance>#<process>`` names one process of an instance."""
    process: Any = None
    """With ``directions``: the one process that is to answer, None when any is."""


def object_of(metadata: str) -> dict[str, Any]:
    """Return the JSON object in a dispatch's metadata, an empty one if it is something else."""
    try:
        message = json.loads(metadata)
    except (ValueError, RecursionError):  # RecursionError: thousands of nested brackets
        return {}
    return message if isinstance(message, dict) else {}


def parse_probe(metadata: str) -> Probe | None:
    """Return the probe in a dispatch's metadata, or None if the dispatch is not a probe.

    Every JSON object with the marker key is a probe, whatever its version and mode: nobody
    writes that key by accident, and a probe must never become a real job.
    """
    message = object_of(metadata)
    if MARKER not in message:
        return None
    return Probe(
        version=message[MARKER],
        nonce=message.get("nonce"),
        mode=message.get("mode"),
        directions={k: message[k] for k in DIRECTIONS if message.get(k) is not None},
        instances=message.get("instances"),
        process=message.get(PROCESS),
    )


def rehearsal_of(metadata: str) -> str | None:
    """Return the instance that a rehearsal is for, None if the dispatch is no rehearsal.

    A rehearsal is a real job that a deployment gives to one instance before calls reach it.
    """
    message = object_of(metadata)
    return str(message[REHEARSAL]) if REHEARSAL in message else None


def release_of(instance: str) -> str:
    """Return the release of ``<inventory_hostname>/<release>``: what follows the last slash."""
    return instance.rpartition("/")[2]


def is_directed_at(probe: Probe, instance: str, process: str = "") -> bool:
    """Tell whether every given field names this instance, and at least one is given.

    A copy of this host has the same instance, and another process.
    """
    if process and probe.process is not None and probe.process != process:
        return False
    ours = {"instance": instance, "release": release_of(instance)}
    # A worker without an instance has empty fields; an empty field sent must not match them.
    return bool(probe.directions) and all(value == ours[key] and value != "" for key, value in probe.directions.items())


def is_stranger_to(probe: Probe, instance: str, process: str = "") -> bool:
    """Tell whether the probe names the instances that pass it on, and this one is not among them.

    A worker of another deployment has this hook, too: if it passed the probe on like ours, nobody would see it.
    """
    if not isinstance(probe.instances, list):
        return False
    named = [one for one in probe.instances if isinstance(one, str)]
    # Where processes of this instance are named, the instance alone is that of a copy.
    if process and any(one.startswith(f"{instance}#") for one in named):
        return f"{instance}#{process}" not in named
    return instance not in named


def decide(metadata: str, instance: str, gate: Gate, process: str = "") -> Decision:
    """Decide one job request.

    Args:
        metadata: the dispatch's metadata, any text.
        instance: ``<inventory_hostname>/<release>`` of this worker, or "" if it has none.
        gate: the gate now.
        process: what this process has drawn at its start, or "".
    """
    probe = parse_probe(metadata)
    if probe is None:
        wanted = rehearsal_of(metadata)
        if wanted is not None:
            return Decision.APPLICATION if wanted == instance and instance else Decision.PASS
        return Decision.APPLICATION if gate is Gate.OPEN else Decision.PASS
    # bool is an int in Python, and true is no version.
    if type(probe.version) is not int or probe.version != VERSION:
        return Decision.PASS
    if probe.mode == "answer_if" and is_directed_at(probe, instance, process):
        return Decision.ANSWER
    if gate is Gate.OPEN and (
        probe.mode == "answer" or (probe.mode == "pass" and is_stranger_to(probe, instance, process))
    ):
        return Decision.ANSWER
    return Decision.PASS
