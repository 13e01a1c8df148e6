"""The confusion matrix: in each situation of matrix.py the verdict, and the cause by diagnosis, are as fixed before."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import ROOT, Lab
from tests.e2e.matrix import BY_KEY, EXCLUSIVE, SITUATIONS, Situation
from tests.e2e.planting import Planting, Played, together

# Where the machine starts somebody else's workers as fast as when the whole took 430 s; on a slower one as much longer.
LIMIT_SECONDS, STRANGERS_SECONDS = 600, 28.4
NO_PREVIEW = {"verification_preview": False}
IN_DETAIL = ("clean", "three", "full", "pool", "api")
WHERE = ROOT / "build/matrix.json"


@dataclass
class Matrix:
    """What the playbooks said while all situations were there at once."""

    planting: Planting
    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    played: dict[str, Played] = field(default_factory=dict)
    """Verification `without` the server's log, the same with its `evidence`, and `diagnosed`, which has the evidence,
    too; for two nodes with `nodes ` before it. Of one node `evidence` is of some hosts only: diagnosis asks as
    verification does, and tells its verdict."""

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        started = time.monotonic()
        result = work()
        self.steps[name] = round(time.monotonic() - started, 1)
        return result

    def play(self, name: str, playbook: str, nodes: int, *more: Path, rc: int | None = None, **options: Any) -> None:
        played = self.step(name, lambda: self.planting.play(playbook, nodes, *more, **options))
        self.played[name] = played
        assert rc in (None, played.rc), played.said

    def of(self, what: str, situation: Situation) -> list[dict[str, Any]]:
        """The rows of a situation's hosts."""
        played = self.played[what if situation.nodes == 1 else f"nodes {what}"]
        return [played.row(host) for host in situation.hosts]

    def verdict(self, what: str, situation: Situation) -> str:
        """All hosts of a pool have the same."""
        return " and ".join(sorted({row["verdict"] for row in self.of(what, situation)}))

    def cause(self, situation: Situation) -> str:
        row = self.of("diagnosed", situation)[0]
        return str(row["causes"][0]["id"] if row["causes"] else row["outcome"])

    def as_dict(self) -> dict[str, Any]:
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "steps": self.steps,
            "situations": {situation.key: self.line(situation) for situation in SITUATIONS},
        }

    def line(self, situation: Situation) -> dict[str, Any]:
        routing = self.of("without", situation)[0]["routing"]
        return {
            "title": situation.title,
            "without": self.verdict("without", situation),
            "evidence": self.verdict("diagnosed", situation),
            "method": routing["method"],
            "seconds": routing["seconds"],
            "cause": self.cause(situation),
        }


def plant(matrix: Matrix) -> None:
    planting = matrix.planting
    matrix.step("strangers", planting.start_strangers)
    matrix.step("draining", planting.occupy_strangers)
    matrix.step("faults", planting.break_ours)


def deploy_again(matrix: Matrix) -> None:
    """While the release before has a job."""
    matrix.step("job", matrix.planting.occupy_ours)
    matrix.play(
        "again",
        "deploy.yml",
        1,
        rc=0,
        limit=matrix.planting.hosts_of("old"),
        livekit_agent_memory="1900m",
        **NO_PREVIEW,
    )


def one_node(matrix: Matrix, servers: Path, suspects: Path) -> None:
    matrix.play("deploy", "deploy.yml", 1, rc=0, **NO_PREVIEW)
    together([lambda: plant(matrix), lambda: deploy_again(matrix)])
    together(
        [
            lambda: matrix.play("without", "playbooks/verify.yml", 1, **NO_PREVIEW),
            lambda: matrix.play(
                "evidence", "playbooks/verify.yml", 1, servers, limit=matrix.planting.hosts_of(*IN_DETAIL)
            ),
        ]
    )
    matrix.step("web", matrix.planting.ask_the_web)
    matrix.play("diagnosed", "playbooks/diagnose.yml", 1, servers, suspects)


def two_nodes(matrix: Matrix, suspects: Path) -> None:
    planting = matrix.planting
    # Of two nodes one is proven: without the servers' logs a deployment is inconclusive.
    matrix.play("nodes deploy", "deploy.yml", 2, rc=0, verification_accept_inconclusive=True, **NO_PREVIEW)
    matrix.step("nodes strangers", lambda: planting.start_strangers(nodes=2))
    matrix.play("nodes without", "playbooks/verify.yml", 2, **NO_PREVIEW)
    matrix.play("nodes evidence", "playbooks/verify.yml", 2, planting.nodes_inventory, **NO_PREVIEW)
    matrix.play("nodes diagnosed", "playbooks/diagnose.yml", 2, planting.nodes_inventory, suspects)


@pytest.fixture(scope="module")
def matrix(lab: Lab) -> Matrix:
    planting = Planting(lab, SITUATIONS)
    planting.clean()
    matrix = Matrix(planting)
    inventories = lab.inventory.parents[1]
    servers, suspects = inventories / "inventory-servers/hosts.yml", inventories / "inventory-suspects/hosts.yml"
    started = time.monotonic()
    try:
        matrix.step("nodes", planting.start_nodes)
        matrix.step("room", planting.make_room)
        together([lambda: one_node(matrix, servers, suspects), lambda: two_nodes(matrix, suspects)])
        planting.read_strangers()
    finally:
        planting.clean()
    matrix.seconds = time.monotonic() - started
    WHERE.write_text(json.dumps(matrix.as_dict(), indent=2) + "\n")
    return matrix


EVERY = pytest.mark.parametrize("key", [situation.key for situation in SITUATIONS])
DETAILED = pytest.mark.parametrize(
    "key", [situation.key for situation in SITUATIONS if situation.key in IN_DETAIL or situation.nodes > 1]
)


@EVERY
def test_verdict_without_the_servers_log_is_as_fixed(matrix: Matrix, key: str) -> None:
    situation = BY_KEY[key]
    assert matrix.verdict("without", situation) in situation.without.split(" or ")


@EVERY
def test_verdict_with_the_servers_complete_log_is_as_fixed(matrix: Matrix, key: str) -> None:
    assert matrix.verdict("diagnosed", BY_KEY[key]) == BY_KEY[key].evidence


@DETAILED
def test_verification_and_diagnosis_agree(matrix: Matrix, key: str) -> None:
    assert matrix.verdict("evidence", BY_KEY[key]) == matrix.verdict("diagnosed", BY_KEY[key])


@DETAILED
def test_with_the_servers_log_nobody_is_missed(matrix: Matrix, key: str) -> None:
    for row in matrix.of("evidence", BY_KEY[key]):
        assert row["routing"]["not_seen"] == []


@EVERY
def test_diagnosis_names_the_cause(matrix: Matrix, key: str) -> None:
    found = matrix.of("diagnosed", BY_KEY[key])[0]["causes"]
    assert matrix.cause(BY_KEY[key]) == BY_KEY[key].cause, found


@pytest.mark.parametrize("key", [situation.key for situation in SITUATIONS if situation.unseen])
def test_who_may_be_missed_without_the_servers_log_is_listed(matrix: Matrix, key: str) -> None:
    for row in matrix.of("without", BY_KEY[key]):
        assert row["verdict"] != EXCLUSIVE or BY_KEY[key].unseen in row["routing"]["not_seen"]


@EVERY
def test_only_workers_of_somebody_else_are_called_foreign(matrix: Matrix, key: str) -> None:
    for row in matrix.of("without", BY_KEY[key]):
        assert set(row["routing"]["foreign"]) <= matrix.planting.strangers.get(key, set())


@DETAILED
def test_with_the_servers_log_every_worker_of_somebody_else_is_named(matrix: Matrix, key: str) -> None:
    for row in matrix.of("evidence", BY_KEY[key]):
        assert set(row["routing"]["foreign"]) == matrix.planting.strangers.get(key, set())


@EVERY
def test_exclusive_is_never_said_before_the_search_window_has_passed(matrix: Matrix, key: str) -> None:
    for row in matrix.of("without", BY_KEY[key]):
        assert row["verdict"] != EXCLUSIVE or row["routing"]["seconds"] >= 10 or "sampling" in row["routing"]["method"]


def test_preview_tells_that_the_api_dispatches_to_another_name(matrix: Matrix) -> None:
    row = matrix.played["evidence"].row("mx-api")
    found = {check["name"]: check["found"] for check in row["checks"] if not check["ok"]}
    assert "matrix-elsewhere" in found["preview"]


@pytest.mark.parametrize("what", ["without", "evidence", "nodes without", "nodes evidence"])
def test_run_fails_while_a_name_is_not_ours_alone(matrix: Matrix, what: str) -> None:
    assert matrix.played[what].rc != 0


@pytest.mark.parametrize("what", ["diagnosed", "nodes diagnosed"])
def test_diagnosis_never_fails_on_what_it_finds(matrix: Matrix, what: str) -> None:
    assert matrix.played[what].rc == 0


def test_a_server_without_sip_is_said_to_be_not_checked(matrix: Matrix) -> None:
    assert any("SIP" in line for line in matrix.played["diagnosed"].report["not_read"])


def test_whole_matrix_takes_ten_minutes_at_most(matrix: Matrix) -> None:
    slowness = max(1.0, matrix.steps["strangers"] / STRANGERS_SECONDS)
    assert matrix.seconds <= LIMIT_SECONDS * slowness, matrix.steps


def test_nothing_of_it_is_left_on_the_hosts(matrix: Matrix) -> None:
    lab = matrix.planting.lab
    containers, files = (
        "docker ps -aq --filter label=mx; docker network ls -q --filter name=^mx-",
        "ls -d /opt/mx-* /etc/nginx/*/*mx-*",
    )
    assert [machine.sh(f"{containers}; {files} 2>/dev/null || true") for machine in [*lab.machines, lab.other]] == [
        "",
        "",
        "",
    ]
