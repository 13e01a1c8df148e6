"""The confusion matrix: every situation of a name, and what must be said of it. Fixed before anything is run; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXCLUSIVE, SHARED, FOREIGN, INCONCLUSIVE, UNREACHABLE = "exclusive", "shared", "foreign", "inconclusive", "unreachable"
PREFIX = "mx"
HOSTS = ("staging-1", "staging-2")


@dataclass(frozen=True)
class Stranger:
    """Somebody else's workers under the name (foreign_worker.py); with the hook the reference application's image."""

    behaviour: str = "plain"
    count: int = 1
    hook: bool = False
    same_host: bool = False
    busy: bool = False
    """It has a job that does not end and got its SIGTERM: it drains."""
    deployment: str = ""
    node: str = ""


@dataclass(frozen=True)
class Situation:
    """``without`` and ``evidence`` are the verdicts without a LiveKit server's log and with complete ones of all nodes;
    ``or`` stands where chance decides."""

    key: str
    title: str
    without: str
    evidence: str
    cause: str
    unseen: str = ""
    """Who may be missed without the server's log: words that the verdict's ``not_seen`` must have then."""
    stranger: Stranger | None = None
    fault: str = ""
    """What is done to our own deployment after it was proven, see planting.FAULTS."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    members: int = 1
    nodes: int = 1

    @property
    def hosts(self) -> list[str]:
        """The inventory's hosts of this situation: one for each member of the pool."""
        return (
            [f"{PREFIX}-{self.key}"]
            if self.members == 1
            else [f"{PREFIX}-{self.key}-{n}" for n in range(1, self.members + 1)]
        )

    @property
    def strangers(self) -> int:
        return self.stranger.count if self.stranger else 0

    @property
    def agent_name(self) -> str:
        return f"matrix-{self.key}"


NO_HOOK = {"livekit_agent_hook": False, "livekit_agent_env": {"SIDEKICK_HOOK": "off"}}
# Chance decides who is asked first, whether a worker is there just then, and which of two nodes is asked.
NOT_PROVEN = f"{EXCLUSIVE} or {INCONCLUSIVE} or {UNREACHABLE}"
AT_TIMES, ONE_ASKED = f"{EXCLUSIVE} or {FOREIGN}", f"{INCONCLUSIVE} or {FOREIGN}"
ANOTHER = "foreign_known"

SITUATIONS = (
    Situation("clean", "nobody else", EXCLUSIVE, EXCLUSIVE, "nothing_wrong"),
    Situation("plain", "equal foreign worker", FOREIGN, FOREIGN, ANOTHER, stranger=Stranger()),
    Situation(
        "same", "foreign worker with the hook, on the same host", FOREIGN, FOREIGN, "foreign_here",
        stranger=Stranger(hook=True, same_host=True),
    ),
    Situation("three", "three foreign workers", FOREIGN, FOREIGN, ANOTHER, stranger=Stranger(count=3)),
    Situation("full", "foreign worker, full", EXCLUSIVE, FOREIGN, ANOTHER, "full", Stranger("full")),
    # The server does offer it jobs while one worker of the name has room: below a load of 1 it only gets fewer.
    Situation(
        "loaded", "foreign worker, over the threshold (load 0.9)", FOREIGN, FOREIGN, ANOTHER,
        stranger=Stranger("loaded"),
    ),
    Situation(
        "slow", "foreign worker, slow (2.9 s)", NOT_PROVEN, FOREIGN, ANOTHER, "slower than 2.8 s",
        Stranger("slow"),
    ),
    Situation("reject", "foreign worker, rejecting", FOREIGN, FOREIGN, ANOTHER, stranger=Stranger("ends the search")),
    Situation(
        "pass", "foreign worker, rejecting and passing on", EXCLUSIVE, FOREIGN, ANOTHER, "rejecting",
        Stranger("passes on"),
    ),
    Situation(
        "reconnect", "foreign worker, reconnecting", AT_TIMES, FOREIGN, ANOTHER, "reconnecting",
        Stranger("reconnecting"),
    ),
    Situation("drain", "foreign worker, draining", EXCLUSIVE, FOREIGN, ANOTHER, "draining", Stranger(busy=True)),
    Situation(
        "label", "foreign worker of another deployment label", EXCLUSIVE, FOREIGN, ANOTHER,
        "of another deployment label", Stranger(deployment="blue"),
    ),
    Situation(
        "type", "foreign worker of another job type", EXCLUSIVE, FOREIGN, ANOTHER, "of another job type",
        Stranger("publisher"),
    ),
    Situation("pool", "pool of two", SHARED, SHARED, "nothing_wrong", members=2),
    Situation("old", "old release draining", EXCLUSIVE, EXCLUSIVE, "nothing_wrong", fault="second release"),
    Situation("code", "name in code", UNREACHABLE, UNREACHABLE, "hardcoded_name", fault="name in code"),
    Situation("key", "wrong key", UNREACHABLE, UNREACHABLE, "wrong_key", fault="wrong key"),
    Situation("url", "wrong URL", UNREACHABLE, UNREACHABLE, "wrong_url", fault="wrong URL"),
    Situation(
        "api", "API with the other name", EXCLUSIVE, EXCLUSIVE, "api_other_name",
        fault="API with the other name",
    ),
    Situation(
        "restart", "edited but only restarted", EXCLUSIVE, EXCLUSIVE, "edited_not_recreated",
        fault="edited but only restarted",
    ),
    Situation("bare", "worker without the hook", EXCLUSIVE, EXCLUSIVE, "nothing_wrong", variables=NO_HOOK),
    Situation(
        "bare-plain", "worker without the hook, equal foreign worker", FOREIGN, FOREIGN, ANOTHER, "",
        Stranger(), variables=NO_HOOK,
    ),
    # Its container was made anew amid the time looked at, and the log of the one before is gone.
    Situation(
        "launched", "worker started through the hook package", EXCLUSIVE, EXCLUSIVE, "no_cause_found",
        fault="hook's launcher",
    ),
    Situation(
        "node", "two LiveKit nodes, and a SIP rule that names another agent", INCONCLUSIVE, EXCLUSIVE, "sip_other_name",
        nodes=2,
    ),
    Situation(
        "other-node", "two LiveKit nodes, foreign worker on the other one", ONE_ASKED, FOREIGN, ANOTHER,
        stranger=Stranger(node="b"), nodes=2,
    ),
)  # fmt: skip
BY_KEY = {situation.key: situation for situation in SITUATIONS}
