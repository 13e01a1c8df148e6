# SPDX-License-Identifier: Apache-2.0
"""What the tasks of a run have registered: the only place that knows under which names.

A run's variables are a blackboard: a module answers, a role registers, the next filter reads. Here that is one typed
object a host. Which answer is of this run is decided here, too: an earlier use of a role in the same playbook leaves
its answers behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from ansible.module_utils.parsing.convert_bool import boolean

from ..release.plan import Plan
from ..release.records import SHARED_NAME, HostInfo, Record, RolledBack
from ..worker.types import WorkerReading
from . import access

# --- the names, by what is registered under them ---------------------------------------------------------------------

# A release: each step's answer, and why it failed.
BEGUN, SWITCHED, ENDED = "__agent_release_state", "__agent_release_switched", "__agent_release_ended"
FAILURE = "__agent_release_failure"
WORKER, CANDIDATE = "__agent_release_worker", "__agent_release_candidate_worker"
SLOT_PREVIEW = "__agent_release_api_answer"
DIGESTS = ("__agent_release_digests_once", "__agent_release_digests_each")
ARCHIVES = "__agent_release_archives_read"
# A verification: the reading before the probes and the one after, the answers, and what was made of them.
VERIFIED, WITNESS, ASKED = "__verification_read", "__verification_witness", "__verification_asked"
PROBES, VERDICT, SERVER_LOGS = "__verification_probes", "__verification_verdict", "__verification_servers"
# A diagnosis.
DIAGNOSED, SUSPECT, SUSPECTS_OUTSIDE = "__diagnosis_read", "__diagnosis_suspect", "__diagnosis_outside"
SERVER = "__diagnosis_server"
# An eviction, a removal, a status.
WORKERS, RELEASES = "__eviction_read", "__eviction_release"
REMOVED, LEFT, SHARERS = "__removal_done", "__removal_workers", "__removal_sharers"
STATUS = "__fleet_status_read"

REGISTERED = (
    *(BEGUN, SWITCHED, ENDED, WORKER, CANDIDATE, SLOT_PREVIEW, *DIGESTS, ARCHIVES),
    *(VERIFIED, WITNESS, ASKED, PROBES, VERDICT, SERVER_LOGS),
    *(DIAGNOSED, SUSPECT, SUSPECTS_OUTSIDE, SERVER, WORKERS, RELEASES, REMOVED, LEFT, SHARERS, STATUS),
)
# Set by a task of its own.
KEPT = (FAILURE,)
# Loop variables of tasks that read other hosts: each result has the host's name under one of them.
ELSEWHERE = ("__verification_host", "__verification_server", "__diagnosis_host", "__removal_sharer")

# The newest of these that a host has is its first reading: after a switch the old one no longer holds.
READINGS = (VERIFIED, DIAGNOSED, SWITCHED, BEGUN)


def host_asked(result: Mapping[str, object]) -> str:
    """Return the host that a result of a loop over hosts is of."""
    return str(next((result[name] for name in ELSEWHERE if name in result), ""))


class Answer(HostInfo, total=False):
    """What a task registered: a reading of a host, a step's answer, the answer of an API, or why there is none."""

    fence: int  # that the step was made under
    plan: Plan
    retired: list[str]  # releases that ended
    status: int  # HTTP
    url: str
    content: str
    failed: bool
    msg: str


@dataclass(frozen=True)
class HostRun:
    """One host in this run. Its variables are read when asked for, because ansible-core templates each of them then."""

    name: str
    variables: Mapping[str, Any]

    def setting(self, name: str, default: Any = None) -> Any:
        """Return a variable of the inventory."""
        return self.variables.get(name, default)

    def switch(self, name: str, default: bool) -> bool:
        return bool(boolean(self.setting(name, default), strict=False))

    def result(self, name: str) -> dict[str, Any]:
        """Return what a task registered, whatever it is; empty where it did not run."""
        found = self.variables.get(name)
        return dict(found) if isinstance(found, Mapping) else {}

    def answer(self, name: str, key: str) -> Answer | None:
        """Return a registered result that has ``key``; None when the task did not run, was skipped or failed."""
        found = self.result(name)
        return cast(Answer, found) if found.get(key) is not None else None

    # --- a release -------------------------------------------------------------------------------------------------

    @cached_property
    def begun(self) -> Answer | None:
        """What the host was like when the release began, with the plan."""
        return self.answer(BEGUN, "workers")

    @cached_property
    def switched(self) -> Answer | None:
        """The reading after the switch, of this run."""
        found = self.answer(SWITCHED, "workers")
        return found if found and found.get("fence") == (self.begun or {}).get("fence") else None

    @cached_property
    def plan(self) -> Plan:
        """What this run does on the host; empty where it deploys nothing there."""
        return cast(Plan, self.result(BEGUN).get("plan") or {})

    @cached_property
    def replaces(self) -> bool:
        """Whether this run replaces the release that served."""
        return bool(self.plan.get("changed"))

    @cached_property
    def ended(self) -> bool:
        """Whether this run has released something on the host and is done there."""
        done, begun = self.answer(ENDED, "retired"), self.answer(BEGUN, "plan")
        return bool(done and begun and done.get("fence") == begun.get("fence"))

    @cached_property
    def failed(self) -> bool:
        return bool(self.variables.get(FAILURE))

    @cached_property
    def left_behind(self) -> bool:
        """Whether the deployment failed before its switch. It is undone when the others are proven; it gets no row."""
        return self.replaces and self.switched is None

    @cached_property
    def is_standby(self) -> bool:
        """Whether the new worker waits behind its gate; else it takes calls from its registration on."""
        return bool(self.plan.get("gated", True)) and not self.plan.get("candidate")

    def new_worker(self, name: str = WORKER) -> WorkerReading | None:
        """The one worker that was started and is registered."""
        found = self.answer(name, "workers")
        # One that did not register in time is in the answer that says so, and would spoil the probes of all others.
        return found["workers"][0] if found and not found.get("failed") and len(found["workers"]) == 1 else None

    # --- readings ----------------------------------------------------------------------------------------------------

    @cached_property
    def reading(self) -> Answer:
        """The first reading of the host that still holds."""
        found = (self.switched if name == SWITCHED else self.answer(name, "workers") for name in READINGS)
        return next((reading for reading in found if reading), Answer())

    @cached_property
    def latest(self) -> Answer | None:
        """What a deployment last read of the host: in an earlier batch what it was like after its switch."""
        return self.switched or self.begun

    @cached_property
    def witness(self) -> Answer | None:
        """The reading after the probes. It does not know of which release a worker is."""
        return self.answer(WITNESS, "workers")

    @cached_property
    def readings(self) -> list[Answer]:
        """All readings of the host, whichever playbook made them."""
        return [found for name in (*READINGS, WITNESS) if (found := self.answer(name, "workers"))]

    @cached_property
    def adopted(self) -> dict[str, str]:
        """Each adopted project's worker container, with the id of the release that the project is."""
        return dict(self.reading.get("adopted") or {})

    @property
    def unread(self) -> str:
        """Why a reading of a verification is missing, in the words of its module; empty when none is."""
        found = [result for name in (VERIFIED, WITNESS) if (result := self.result(name))]
        lost = [result for result in found if not result.get("skipped") and result.get("workers") is None]
        return "; ".join(dict.fromkeys(access.said(result) or "no answer" for result in lost))

    # --- what it serves ----------------------------------------------------------------------------------------------

    def purpose(self, reading: HostInfo | None = None) -> RolledBack | None:
        """How the host differs from the inventory on purpose, after a rollback; None where it does not."""
        if self.plan:
            return self.plan.get("rolled_back")
        return self.record(reading).get("rolled_back")

    def record(self, reading: HostInfo | None = None) -> Record:
        """The record of the release that serves; empty without one."""
        found = self.reading if reading is None else reading
        return found.get("release") or {}

    def serves_shared_name(self, reading: HostInfo | None = None) -> bool:
        purpose = self.purpose(reading)
        return bool(purpose and purpose.get("kind") == SHARED_NAME)

    def agent_name(self, reading: HostInfo | None = None) -> str:
        """The name to serve: of the release this run makes, of the one it was rolled back to, else of the inventory."""
        if self.plan:
            return str(self.plan["agent_name"])
        if self.purpose(reading):
            return self.record(reading)["agent_name"]
        return str(self.setting("livekit_agent_name") or "")

    def pool(self, reading: HostInfo | None = None) -> str:
        """Hosts of one pool share their jobs; those that were rolled back to a shared name do, whatever their pool."""
        if self.serves_shared_name(reading):
            return f"shared name {self.agent_name(reading)}"
        return str(self.setting("livekit_agent_pool") or self.name)

    def has_hook(self, outside: HostInfo | None = None) -> bool:
        """Whether all workers of ours on the host ask the hook.

        The inventory says so, and the record of the release that is about to be replaced, whose worker runs beside the
        new one; or of the release that ``outside`` read on a host that is not in this run.
        """
        if self.record(outside).get("unmanaged"):
            return False
        reading = outside if outside is not None else self.begun if self.replaces else None
        release, name = (reading or {}).get("release") or {}, self.agent_name(outside)
        # Under another name it gets nothing that is sent to this one.
        before = release.get("hook", True) or release.get("agent_name", name) != name
        wanted = self.switch("livekit_agent_hook", True)
        if self.purpose(outside):
            wanted = self.plan.get("hook", ((outside or self.reading).get("release") or {}).get("hook", True))
        return bool(wanted and before)


class Runs(Mapping[str, HostRun]):
    """The hosts of the inventory in this run, each read when it is asked for."""

    def __init__(self, hostvars: Mapping[str, Any]) -> None:
        self.hostvars = hostvars
        self.known: dict[str, HostRun] = {}

    def __getitem__(self, host: str) -> HostRun:
        if host not in self.known:
            self.known[host] = HostRun(host, self.hostvars[host])
        return self.known[host]

    def __iter__(self) -> Iterator[str]:
        return iter(self.hostvars)

    def __len__(self) -> int:
        return len(self.hostvars)

    def of(self, hosts: Sequence[str]) -> list[HostRun]:
        return [self[host] for host in hosts]

    def once(self, hosts: Sequence[str], name: str) -> dict[str, Any]:
        """Return the result of a task that ran once, from whichever host has it."""
        results = (self[host].result(name) for host in hosts if host in self)
        return next((found for found in results if found and not found.get("skipped")), {})
