"""A host that no tool manages: its worker is looked at as the entry's own, and a foreign one is named."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Lab, Machine, Run, start_foreign, wait_for
from tests.e2e.test_routing import HOOKLESS_WORKER, without_hook

HOST, NAME, PROJECT = "shop-1", "shop-agent", "shop"
FOREIGN = "foreign-shop"
ALONE, BESIDE = "alone", "beside a foreign worker"


@dataclass(frozen=True)
class Timed:
    run: Run
    seconds: float

    def document(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.run.reports[name]
        return found


@dataclass(frozen=True)
class Look:
    """What the playbooks say of the host, and what the foreign worker's id is, where there is one."""

    diagnosed: Timed
    verified: Timed
    status: Timed
    foreign_id: str = ""

    def diagnosis(self) -> dict[str, Any]:
        found: dict[str, Any] = self.diagnosed.document("diagnose")["hosts"][HOST]
        return found


@dataclass(frozen=True)
class Shop:
    """An inventory entry with a name and a server, and nothing else."""

    lab: Lab
    machine: Machine
    since: str

    def inventory(self) -> Path:
        path = self.lab.scratch / "shop.json"
        document = {
            "all": {"vars": {"livekit_url_allow_insecure": True}},
            "agent_hosts": {"hosts": self.lab.newcomer(HOST, self.machine.address, livekit_agent_name=NAME)},
            "suspects": {"hosts": self.lab.newcomer(self.lab.other.name, self.lab.other.address)},
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(document))
        return path

    def play(self, playbook: str, **extra_vars: Any) -> Timed:
        started = time.monotonic()
        run = self.lab.play(f"playbooks/{playbook}.yml", inventory=[self.inventory()], extra_vars=extra_vars)
        return Timed(run, time.monotonic() - started)

    def diagnose(self, **extra_vars: Any) -> Timed:
        """Of the time since its worker is there."""
        return self.play("diagnose", diagnose_since=self.since, **extra_vars)

    def look(self, foreign_id: str = "") -> Look:
        return Look(self.diagnose(), self.play("verify"), self.play("status"), foreign_id)


def plant(lab: Lab, machine: Machine) -> None:
    livekit = {f"LIVEKIT_{key.upper()}": lab.document["livekit"][key] for key in ("url", "api_key", "api_secret")}
    environment = {**livekit, "LIVEKIT_AGENT_NAME": NAME, "SIDEKICK_HOOK": "off"}
    environment |= {"SIDEKICK_LOAD": "0", "SIDEKICK_LOAD_THRESHOLD": "inf"}
    worker = {"image": machine.service("agent-worker").image, "restart": "always", "environment": environment}
    document = shlex.quote(json.dumps({"services": {"agent-worker": worker}}))
    machine.sh(
        f"umask 077; mkdir -p /srv/{PROJECT}; cd /srv/{PROJECT}; "
        f"printf %s {document} >compose.yml; docker compose up -d"
    )
    wait_for(machine, f"docker logs {PROJECT}-agent-worker-1", '"registered worker"')


def clean(machine: Machine) -> None:
    machine.sh(
        f"[ ! -e /srv/{PROJECT} ] || docker compose --project-directory /srv/{PROJECT} down --timeout 1; "
        f"rm -rf /srv/{PROJECT}"
    )


@pytest.fixture(scope="module")
def shop(serving: Lab, first: Machine) -> Iterator[Shop]:
    clean(first)
    try:
        plant(serving, first)
        yield Shop(serving, first, datetime.now(UTC).isoformat(timespec="seconds"))
    finally:
        clean(first)


@pytest.fixture(scope="module")
def before(shop: Shop) -> list[tuple[str, str]]:
    return shop.machine.identities()


@pytest.fixture(scope="module")
def alone(shop: Shop, before: list[tuple[str, str]]) -> Look:
    assert before
    return shop.look()


@pytest.fixture(scope="module")
def beside(shop: Shop, alone: Look) -> Iterator[Look]:
    """Somebody else's worker has the name, on the host of the suspects."""
    assert alone
    with without_hook(shop.lab.other) as other:
        try:
            foreign = start_foreign(other, FOREIGN, NAME, **HOOKLESS_WORKER)
            yield shop.look(foreign)
        finally:
            other.sh(f"docker rm -f {FOREIGN}", check=False)


@pytest.fixture(scope="module")
def share(shop: Shop, beside: Look) -> Timed:
    assert beside
    return shop.diagnose(diagnose_send="share")


@pytest.fixture(scope="module")
def silent(shop: Shop, beside: Look) -> Timed:
    assert beside
    return shop.diagnose(diagnose_send="false")


# --- alone -----------------------------------------------------------------------------------------------------------


def test_nothing_is_wrong_with_a_worker_that_nobody_deployed(alone: Look) -> None:
    assert alone.diagnosed.run.rc == 0, alone.diagnosed.run.stdout
    assert (alone.diagnosis()["outcome"], alone.diagnosis()["release"]) == ("nothing_wrong", "unmanaged")


def test_its_name_is_proven_by_sampling(alone: Look) -> None:
    assert alone.verified.run.rc == 0, alone.verified.run.stdout
    row = alone.verified.run.row(HOST)
    assert (row["verdict"], row["routing"]["method"]) == ("exclusive", "sampling")


def test_what_needs_a_release_is_not_applicable(alone: Look) -> None:
    found = {check["name"]: check["found"] for check in alone.verified.run.row(HOST)["checks"]}
    for name in ("environment", "preview", "drift"):
        assert found[name].startswith("not applicable")


def test_status_calls_it_unmanaged(alone: Look) -> None:
    row = alone.status.document("status")["hosts"][HOST]
    assert (row["state"], row["worker_id"]) == ("unmanaged", alone.verified.run.row(HOST)["worker_ids"][0])


# --- beside a foreign worker -----------------------------------------------------------------------------------------


def test_foreign_worker_is_named_with_its_host(beside: Look) -> None:
    cause = beside.diagnosis()["causes"][0]
    assert cause["id"] == "foreign_known"
    text = " ".join([cause["title"], *cause["evidence_for"]])
    assert [word for word in (beside.foreign_id, FOREIGN, "other-1") if word not in text] == []


def test_only_the_foreign_worker_is_one_to_evict(beside: Look) -> None:
    text = json.dumps(beside.diagnosed.document("diagnose"))
    own = beside.verified.run.row(HOST)["worker_ids"][0]
    assert f"evict_worker={beside.foreign_id}" in text
    assert f"evict_worker={own}" not in text


def test_diagnosis_of_the_incident_takes_less_than_half_a_minute(beside: Look) -> None:
    assert beside.diagnosed.seconds < 30


def test_verification_says_foreign_too(beside: Look) -> None:
    row = beside.verified.run.row(HOST)
    assert (row["verdict"], row["routing"]["foreign"]) == ("foreign", [beside.foreign_id])


def test_shares_are_counted_where_they_are_asked_for(share: Timed, beside: Look) -> None:
    routing = share.document("diagnose")["hosts"][HOST]
    assert routing["verdict"] == "foreign"
    assert beside.foreign_id in json.dumps(routing)


def test_no_dispatch_is_sent_where_none_is_wanted(silent: Timed) -> None:
    assert silent.run.reports["diagnose"]["hosts"][HOST]["verdict"] in ("inconclusive", "foreign")


def test_own_worker_is_not_evicted(shop: Shop, beside: Look, before: list[tuple[str, str]]) -> None:
    own = beside.verified.run.row(HOST)["worker_ids"][0]
    run = shop.play("evict", evict_worker=own).run
    assert run.rc != 0
    assert f"is the worker of {HOST}" in run.said
    assert [one for one in before if one not in shop.machine.identities()] == []
