# SPDX-License-Identifier: Apache-2.0
"""What is found of a cause on a host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps

from ..release.records import API
from .host_view import HostView


@dataclass(frozen=True)
class Holds:
    """What speaks for the cause and what against it; not certain where it may explain only some of the lost jobs."""

    evidence: Sequence[str]
    against: Sequence[str] = ()
    certain: bool = True
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RuledOut:
    by: str


@dataclass(frozen=True)
class Unknown:
    """Not decided; ``idle`` when nothing happened that would show it, so that nothing was left unread."""

    why: str
    idle: bool = False


Finding = Holds | RuledOut | Unknown


def through_the_api(finding: Callable[[HostView], Finding]) -> Callable[[HostView], Finding]:
    """Rule a cause on the way through the host's own API out where its release has none."""

    @wraps(finding)
    def found(host: HostView) -> Finding:
        if host.release and API not in host.services:
            if host.unmanaged:
                return Unknown(f"no API whose log tells of dispatches was found on {host.name}", idle=True)
            which = f"release {host.release} on {host.name}"
            return RuledOut(f"{which} has a worker only: no API of its own dispatches")
        return finding(host)

    return found
