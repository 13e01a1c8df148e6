"""A run on a host: what it decides, under whose lock, and how it is remembered; with a stand-in for command lines."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import docker
from ansible.module_utils.livekit_deploy.release import content, drain, history, notes, records, refusal, switch
from ansible.module_utils.livekit_deploy.release.begin import preview_run
from ansible.module_utils.livekit_deploy.release.errors import ReleaseError
from ansible.module_utils.livekit_deploy.release.lock import LockError, Owner
from ansible.module_utils.livekit_deploy.release.plan import Goal, Order
from ansible.module_utils.livekit_deploy.release.run import Deployment
from ansible.module_utils.livekit_deploy.release.store import Releases

from tests.unit.module_utils import standin_story as story
from tests.unit.module_utils.standin import Told
from tests.unit.module_utils.standin_machine import Machine
from tests.unit.module_utils.standin_story import US

THEM = Owner("m2", 20, "200", "ben@laptop")
COMPOSE = 'name: "@project@"\n# @release_id@\nports: ["127.0.0.1:@api_port@:8080"]\n'
ENV = {
    "fastapi": {"AGENT_NAME": "name-a", "LIVEKIT_AGENT_NAME": "name-a", "A": "it's $5", "KEY": "a\r\nb"},
    "agent-worker": {"LIVEKIT_AGENT_NAME": "name-a"},
}
SECRET = {name: {"LIVEKIT_API_SECRET": "s" * 32} for name in records.SERVICES}
CONTENT = content.given_content(COMPOSE, ENV, SECRET)
IMAGES = {name: f"r/{name}@sha256:1" for name in records.SERVICES}
ORDER = Order(Goal(content=CONTENT), "20260101T000000Z", "a", [18101, 18102], IMAGES, {"app": "app", "hook": True})
LATER = "20260102T000000Z"


@pytest.fixture
def run(host: Releases) -> Deployment:
    return Deployment(host)


def begin(run: Deployment, order: Order = ORDER, **claim: Any) -> Any:
    return story.begin(run, order, **claim)


def deploy(run: Deployment, machine: Machine, order: Order = ORDER) -> Any:
    return story.deploy(run, machine, order)


def told(run: Deployment) -> list[history.Entry]:
    return history.history_entries(run.releases.history)


def test_first_release_is_written_under_the_lock(run: Deployment) -> None:
    answer = begin(run)
    plan = answer["plan"]
    assert (plan["changed"], plan["reasons"], plan["api_port"], plan["agent_name"]) == (
        True,
        ["nothing serves yet"],
        18101,
        "name-a",
    )
    assert (run.releases.record(plan["id"]) or {})["state"] == "staged"
    assert (run.lock.read().owner, run.lock.read().change["to"]) == (US, plan["id"])


def test_same_content_is_no_change_and_writes_nothing(run: Deployment, machine: Machine) -> None:
    first = deploy(run, machine)
    again = begin(run, replace(ORDER, stamp=LATER))
    assert (again["plan"]["changed"], again["plan"]["id"]) == (False, first["plan"]["id"])
    assert (len(run.releases.records()), again["fence"], run.lock.read().owner) == (1, None, None)


def test_forced_release_takes_the_other_port(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    plan = begin(run, replace(ORDER, stamp=LATER, force=True))["plan"]
    assert (plan["changed"], plan["reasons"], plan["api_port"]) == (True, ["forced"], 18102)


def test_drift_is_a_reason(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    run.releases.set_gate(f"{ORDER.stamp}-{CONTENT.hash[:8]}", records.GATE_CLOSED)
    assert begin(run, replace(ORDER, stamp=LATER))["plan"]["reasons"] == ["the standby gate is closed"]


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "in a check run"])
def test_a_port_that_a_program_has_is_refused_before_anything_is_written(run: Deployment, begun: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        order = replace(ORDER, ports=[port, 18102])
        with pytest.raises(
            ReleaseError, match=rf"found: \S+ \(process \d+\) has port {port}, expected it free .* agent_api_ports"
        ):
            begin(run, order) if begun else preview_run(run.releases, order)
    assert (run.releases.records(), run.lock.read().owner) == ([], None)
    assert preview_run(run.releases, order)["plan"]["api_port"] == port


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "in a check run"])
def test_a_configuration_that_nginx_refuses_is_told_before_anything_is_written(
    run: Deployment, machine: Machine, begun: bool
) -> None:
    machine.nginx_accepts = False
    with pytest.raises(
        ReleaseError, match=r"found: nginx refuses the configuration that is on this host already: .*bad upstream"
    ):
        begin(run) if begun else preview_run(run.releases, ORDER)
    assert (run.releases.records(), run.lock.read().owner) == ([], None)


def test_what_serves_unchanged_needs_neither(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    machine.nginx_accepts = False
    assert begin(run, replace(ORDER, stamp=LATER))["plan"]["changed"] is False


def test_preview_takes_no_lock_and_writes_nothing(run: Deployment) -> None:
    answer = preview_run(run.releases, ORDER)
    assert (answer["plan"]["changed"], run.lock.read().owner, run.releases.records()) == (True, None, [])
    assert (
        notes.plan_notes("a", answer, check=True)[0]
        == f"a: would release {answer['plan']['id']} in place of nothing: nothing serves yet"
    )


DRY: Any = {
    "changed": True,
    "id": "r2",
    "project": "app-r2",
    "agent_name": "b",
    "reasons": ["another content", "forced"],
}
SERVING = {"id": "r1", "app": "app", "agent_name": "a", "images": {"fastapi": "api:1", "agent-worker": "worker:1"}}


@pytest.mark.parametrize(
    ("plan", "current", "lines"),
    [
        pytest.param(
            {"images": {"fastapi": "api:2", "agent-worker": "worker:2"}},
            SERVING,
            [
                "h: would release r2 in place of r1: another content; forced",
                "  agent name a -> b",
                "  image of fastapi api:1 -> api:2",
                "  image of agent-worker worker:1 -> worker:2",
                "  containers: start those of app-r2, then stop those of app-r1",
            ],
            id="all of it",
        ),
        pytest.param(
            {"agent_name": "a", "images": {"fastapi": "api:1", "agent-worker": "worker:2"}},
            SERVING,
            [
                "h: would release r2 in place of r1: another content; forced",
                "  image of agent-worker worker:1 -> worker:2",
                "  containers: start those of app-r2, then stop those of app-r1",
            ],
            id="one image",
        ),
        pytest.param(
            {"images": {"agent-worker": "worker:1"}, "reasons": ["nothing serves yet"]},
            {},
            [
                "h: would release r2 in place of nothing: nothing serves yet",
                "  agent name none -> b",
                "  image of agent-worker none -> worker:1",
                "  containers: start those of app-r2",
            ],
            id="first release",
        ),
        pytest.param({"changed": False, "id": "r1"}, SERVING, ["h: nothing would change, r1 serves b"], id="nothing"),
    ],
)
def test_dry_run_tells_name_images_and_containers(plan: Any, current: Any, lines: list[str]) -> None:
    assert notes.dry_notes("h", {**DRY, **plan}, current) == lines


def test_second_run_is_refused_and_named(run: Deployment) -> None:
    begin(run, owner=THEM)
    with pytest.raises(LockError, match=r"ben@laptop \(process 20, deploy\) deploys to this host"):
        begin(run)


def test_failing_begin_gives_the_lock_back(run: Deployment) -> None:
    with pytest.raises(ReleaseError, match="MB free"):
        begin(run, replace(ORDER, min_free_mb=10**9))
    assert run.lock.read().owner is None


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "in a check run"])
def test_memory_for_two_workers_is_asked_for_before_anything_is_written(run: Deployment, begun: bool) -> None:
    order = replace(ORDER, min_free_memory_mb=10**9)
    with pytest.raises(
        ReleaseError,
        match=r"found \d+ MiB of memory available, expected at least 1000000000 .* agent_release_min_free_memory_mb",
    ):
        begin(run, order) if begun else preview_run(run.releases, order)
    assert (run.releases.records(), run.lock.read().owner) == ([], None)


@pytest.mark.parametrize(
    ("table", "refused"), [("MemAvailable:  785408 kB\n", True), ("MemAvailable:  786432 kB\n", False), ("", False)]
)
def test_memory_counts_as_the_kernel_says_it_is_available(tmp_path: Path, table: str, refused: bool) -> None:
    (tmp_path / "meminfo").write_text(f"MemTotal:  9000000 kB\nMemFree:  1 kB\n{table}SwapFree:  900000 kB\n")
    with pytest.raises(ReleaseError, match="found 767 MiB") if refused else nullcontext():
        refusal.refuse_short_memory(768, tmp_path / "meminfo")


def test_what_serves_unchanged_needs_no_memory(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    assert begin(run, replace(ORDER, stamp=LATER, min_free_memory_mb=10**9))["plan"]["changed"] is False


def test_step_of_a_run_that_was_overtaken_changes_nothing(run: Deployment, machine: Machine) -> None:
    old = begin(run, owner=Owner("m1", 11, "110", "carl@ci"))
    new = begin(run, replace(ORDER, stamp=LATER))
    machine.start(new["plan"]["id"])
    with pytest.raises(LockError, match=r"anna@ci .* has taken over"):
        run.step(old["fence"], "switch", 10.0, lambda: switch.serve(run.releases, old["plan"]["id"]))
    with pytest.raises(LockError, match="has taken over"):
        run.abandon(old["fence"], "why")
    assert (run.releases.current(), run.releases.gate(new["plan"]["id"])) == (None, "closed")


def test_killed_run_is_cleared_and_remembered(run: Deployment) -> None:
    old = begin(run, owner=Owner("m1", 11, "110", "carl@ci"))
    new = begin(run, replace(ORDER, stamp=LATER))
    assert (new["overtook"], new["cleared"]) == ("carl@ci (process 11, deploy), at step begin", [old["plan"]["id"]])
    assert [(e["outcome"], e["by"], e["to"]) for e in told(run)] == [("interrupted", "carl@ci", old["plan"]["id"])]


def test_what_a_run_left_that_ended_after_its_switch_is_gone_when_the_next_one_has_nothing_to_do(
    run: Deployment, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = deploy(run, machine)["plan"]["id"]
    wanted = replace(ORDER, stamp=LATER, goal=Goal(content=replace(CONTENT, compose=COMPOSE + "# more")))
    new = begin(run, wanted)
    machine.start(new["plan"]["id"])
    run.step(new["fence"], "switch", 10.0, lambda: switch.serve(run.releases, new["plan"]["id"]))
    # A worker without calls takes a moment to end.
    monkeypatch.setattr(machine, "stop", lambda container, **_: ending.append((time.monotonic() + 0.3, container)))
    ending: list[tuple[float, str]] = []
    looks = machine.run

    def look(argv: Sequence[str]) -> tuple[int, str, str]:
        for moment, container in ending:
            if time.monotonic() > moment:
                Machine.stop(machine, container, ends=True)
        return looks(argv)

    monkeypatch.setattr(run.releases, "run", Told(look))
    again = begin(run, wanted)
    assert (again["plan"]["changed"], again["cleared"]) == (False, [old])
    assert {docker.labels(c)[docker.PROJECT_LABEL] for c in machine.containers} == {new["plan"]["project"]}
    assert {r["id"]: r["state"] for r in run.releases.records()} == {old: "retired", new["plan"]["id"]: "serving"}


def test_release_is_remembered_with_the_seconds_of_its_steps(run: Deployment, machine: Machine) -> None:
    plan = deploy(run, machine)["plan"]
    (entry,) = told(run)
    assert (entry["outcome"], entry["to"], entry["verdict"], entry["by"]) == (
        "released",
        plan["id"],
        "exclusive",
        "anna@ci",
    )
    assert list(entry["steps"]) == ["begin", "send", "switch", "verify", "drain"]
    assert run.lock.read().owner is None


def test_run_that_changes_nothing_is_not_remembered(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    deploy(run, machine, replace(ORDER, stamp=LATER))
    assert len(told(run)) == 1
    assert run.lock.read().owner is None


def test_failed_release_is_taken_back_and_remembered(run: Deployment, machine: Machine) -> None:
    first = deploy(run, machine)["plan"]["id"]
    second = begin(run, replace(ORDER, stamp=LATER, force=True))
    done = run.abandon(second["fence"], "Start the worker: it crashed")
    assert (done["serving"], (run.releases.current() or {})["id"]) == (first, first)
    assert [(e["outcome"], e["step"], e["reason"]) for e in told(run)][1:] == [
        ("taken back", "begin", "Start the worker: it crashed")
    ]
    assert list(told(run)[1]["steps"]) == ["begin", "send", "abandon"]
    assert run.lock.read().owner is None


# --- rollback --------------------------------------------------------------------------------------------------------


def renamed(name: str, stamp: str = LATER) -> Order:
    return replace(ORDER, stamp=stamp, goal=Goal(content=CONTENT.named(name)))


def back(stamp: str, **goal: str) -> Order:
    return replace(ORDER, stamp=stamp, goal=Goal(**goal), images={})  # type: ignore[arg-type]


def test_shared_name_is_restored_on_the_images_that_run(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    plan = begin(run, back(LATER, kind="shared_name", shared_name="shared"))["plan"]
    assert (plan["agent_name"], plan["agent_name_before"], plan["images"]) == ("shared", "name-a", IMAGES)
    text = (run.releases.directory(plan["id"]) / "fastapi.env").read_text()
    assert "LIVEKIT_AGENT_NAME='shared'" in text
    assert "AGENT_NAME='shared'" in text
    assert 'A="it\'s $$5"' in text


def test_record_says_that_the_host_is_rolled_back_on_purpose(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    plan = begin(run, back(LATER, kind="shared_name", shared_name="shared"))["plan"]
    made = (run.releases.record(plan["id"]) or {})["rolled_back"]
    assert made
    assert (made["kind"], made["from_agent_name"]) == ("shared_name", "name-a")


def test_release_before_comes_back_with_its_name_and_content(run: Deployment, machine: Machine) -> None:
    first = deploy(run, machine)["plan"]
    deploy(run, machine, renamed("name-b"))
    plan = begin(run, back("20260103T000000Z", kind="release", release="previous"))["plan"]
    assert (plan["agent_name"], plan["hash"], plan["rolled_back"]["to"]) == ("name-a", first["hash"], first["id"])


SAME, OTHER, THIRD = (CONTENT, CONTENT.named("name-b"), CONTENT.named("name-c"))


@pytest.mark.parametrize(
    ("contents", "wanted", "passed_over"),
    [
        pytest.param([OTHER, SAME], 0, [], id="the one before differs"),
        pytest.param([OTHER, SAME, SAME], 0, [1], id="a forced release"),
        pytest.param([THIRD, OTHER, SAME, SAME, SAME], 1, [3, 2], id="forced twice"),
        pytest.param([SAME, OTHER, SAME], 1, [], id="an older one has the content too"),
        pytest.param([SAME], None, [], id="the first release"),
        pytest.param([SAME, SAME], None, [0], id="nothing but forced releases"),
    ],
)
def test_previous_is_the_last_release_that_differs(
    run: Deployment, machine: Machine, contents: list[content.Content], wanted: int | None, passed_over: list[int]
) -> None:
    ids = []
    for day, made_of in enumerate(contents, 1):
        order = replace(ORDER, stamp=f"202601{day:02}T000000Z", goal=Goal(content=made_of), force=True)
        ids.append(deploy(run, machine, order)["plan"]["id"])
    order, passed = (
        back("20260201T000000Z", kind="release", release="previous"),
        [ids[number] for number in passed_over],
    )
    if wanted is None:
        with pytest.raises(
            ReleaseError, match=r"found: no release before the serving one.*To choose from: none"
        ) as refused:
            begin(run, order)
        assert all(f"{one} has the content of {ids[-1]}" in str(refused.value) for one in passed)
        return
    answer = begin(run, order)
    assert (answer["plan"]["changed"], answer["plan"]["rolled_back"]["to"], answer["plan"]["passed_over"]) == (
        True,
        ids[wanted],
        passed,
    )
    told = [note for note in notes.plan_notes("a", answer, check=False) if "the last release that differs" in note]
    assert told == (
        [
            f"a: {', '.join(passed)} has the content of {ids[-1]}, which serves: back to {ids[wanted]}, "
            "the last release that differs"
        ]
        if passed
        else []
    )


def test_rollback_to_a_release_of_the_same_content_says_that_nothing_was_done(
    run: Deployment, machine: Machine
) -> None:
    first = deploy(run, machine)["plan"]["id"]
    second = deploy(run, machine, replace(ORDER, stamp=LATER, force=True))["plan"]["id"]
    answer = begin(run, back("20260103T000000Z", kind="release", release=first))
    assert answer["plan"]["changed"] is False
    assert notes.plan_notes("a", answer, check=False) == [
        f"a: nothing was rolled back: {second} serves and is what was asked for"
    ]


def test_next_deployment_returns_to_the_inventory_and_says_so(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    deploy(run, machine, back(LATER, kind="shared_name", shared_name="shared"))
    answer = begin(run, replace(ORDER, stamp="20260103T000000Z"))
    assert (answer["plan"]["changed"], answer["plan"]["agent_name"], answer["plan"]["rolled_back"]) == (
        True,
        "name-a",
        None,
    )
    assert notes.plan_notes("a", answer, check=False)[0].endswith("returns to the inventory's name-a")


def test_rollback_to_what_the_inventory_says_by_now_is_none_any_more(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    deploy(run, machine, renamed("name-b"))
    deploy(run, machine, back("20260103T000000Z", kind="release", release="previous"))
    answer = begin(run, replace(ORDER, stamp="20260104T000000Z"))
    assert (answer["plan"]["changed"], answer["release"]["rolled_back"]) == (False, None)
    assert (run.releases.current() or {})["rolled_back"] is None


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("previous", "no release before the serving one"),
        ("20250101T000000Z-00000001", "no release 20250101T000000Z-00000001 on this host"),
    ],
)
def test_rollback_is_refused_where_there_is_nothing_to_go_back_to(
    run: Deployment, machine: Machine, wanted: str, said: str
) -> None:
    deploy(run, machine)
    with pytest.raises(ReleaseError, match=rf"{said}, expected a release that served before. To choose from: none"):
        begin(run, back(LATER, kind="release", release=wanted))
    assert run.lock.read().owner is None


def test_rollback_needs_something_that_serves(run: Deployment) -> None:
    with pytest.raises(ReleaseError, match="found no release that serves"):
        begin(run, back(LATER, kind="shared_name", shared_name="shared"))


def test_rollback_to_a_release_that_failed_is_refused_with_the_choice(run: Deployment, machine: Machine) -> None:
    first = deploy(run, machine)["plan"]["id"]
    deploy(run, machine, renamed("name-b"))
    failed = begin(run, renamed("name-c", "20260103T000000Z"))
    run.abandon(failed["fence"], "it crashed")
    with pytest.raises(ReleaseError, match=rf"failed on .* \(it crashed\).* To choose from: {first} \(name-a"):
        begin(run, back("20260104T000000Z", kind="release", release=failed["plan"]["id"]))


def test_releases_that_still_drain_are_told_by_the_run_that_leaves_them_and_by_the_next(
    run: Deployment, machine: Machine
) -> None:
    first = deploy(run, machine)["plan"]["id"]
    machine.drains = False
    answer = deploy(run, machine, renamed("name-b"))
    again = begin(run, replace(renamed("name-b"), stamp="20260103T000000Z"))
    assert not any("drains" in note for note in notes.plan_notes("a", answer, check=False))
    assert notes.plan_notes("a", again, check=False) == drain.drain_notes("a", [first])


def test_images_that_are_gone_leave_the_other_releases_to_choose_from(run: Deployment, machine: Machine) -> None:
    first = deploy(run, machine)["plan"]["id"]
    gone = deploy(
        run, machine, replace(renamed("name-b"), images={name: f"r/{name}@sha256:2" for name in records.SERVICES})
    )["plan"]["id"]
    last = deploy(run, machine, replace(renamed("name-c", "20260103T000000Z")))["plan"]["id"]
    machine.images = dict.fromkeys(IMAGES.values(), "id")
    answer = begin(run, back("20260104T000000Z", kind="release", release=gone))

    def bring() -> list[str]:
        raise ReleaseError("found: the registry has no such image")

    with pytest.raises(ReleaseError, match=r"the registry has no such image\. To choose from: ") as refused:
        run.pull(answer["fence"], answer["plan"]["id"], 10.0, bring)
    assert (first in str(refused.value), gone in str(refused.value), last in str(refused.value)) == (True, False, False)


def test_images_that_are_gone_are_told_alone_where_nothing_is_rolled_back(run: Deployment) -> None:
    answer = begin(run)

    def bring() -> list[str]:
        raise ReleaseError("found: the registry has no such image")

    with pytest.raises(ReleaseError, match=r"no such image$"):
        run.pull(answer["fence"], answer["plan"]["id"], 10.0, bring)


def test_rollback_to_edited_files_is_refused(run: Deployment, machine: Machine) -> None:
    first = deploy(run, machine)["plan"]["id"]
    deploy(run, machine, renamed("name-b"))
    (run.releases.directory(first) / "fastapi.env").write_text("A='1'\n")
    with pytest.raises(ReleaseError, match=r"fastapi.env was edited by hand"):
        begin(run, back("20260103T000000Z", kind="release", release=first))


def test_content_of_a_release_is_read_back_as_it_was(run: Deployment, machine: Machine) -> None:
    first = deploy(run, machine)["plan"]["id"]
    assert run.releases.content(first) == CONTENT


@pytest.mark.parametrize(
    ("hook", "nodes", "gated"),
    [(True, 1, True), (False, 1, False), (True, 2, False)],
    ids=["hook", "no hook", "two nodes"],
)
def test_gate_is_used_only_with_the_hook_and_one_node(run: Deployment, hook: bool, nodes: int, gated: bool) -> None:
    plan = begin(run, replace(ORDER, nodes=nodes, record={"app": "app", "hook": hook}))["plan"]
    assert (plan["gated"], plan["candidate"]) == (gated, None if gated else "name-a-candidate")
    record = run.releases.record(plan["id"]) or {}
    assert (record["gated"], run.releases.gate(plan["id"])) == (gated, "closed" if gated else "open")


def test_first_worker_with_the_hook_beside_one_without_is_proven_as_a_candidate(
    run: Deployment, machine: Machine
) -> None:
    deploy(run, machine, replace(ORDER, record={"app": "app", "hook": False}))
    plan = begin(run, replace(ORDER, stamp=LATER, force=True))["plan"]
    assert (plan["hook"], plan["gated"], plan["candidate"]) == (True, True, "name-a-candidate")
    assert run.releases.gate(plan["id"]) == "open"


def test_user_is_told_that_calls_reach_a_candidates_second_start(run: Deployment) -> None:
    answer = begin(run, replace(ORDER, nodes=2))
    assert (
        "proven as name-a-candidate first; calls then reach its second start"
        in notes.plan_notes("a", answer, check=False)[0]
    )


def test_same_content_twice_in_one_run_gets_an_id_of_its_own(run: Deployment, machine: Machine) -> None:
    first = deploy(run, machine)
    plan = begin(run, replace(ORDER, force=True))["plan"]
    assert (plan["id"][:16], first["plan"]["id"][:16]) == ("20260101T000001Z", "20260101T000000Z")


def test_gate_is_used_where_the_worker_without_the_hook_has_another_name(run: Deployment, machine: Machine) -> None:
    deploy(run, machine, replace(ORDER, record={"app": "app", "hook": False}))
    renamed = replace(ORDER.goal, content=CONTENT.named("name-b"))
    plan = begin(run, replace(ORDER, stamp=LATER, goal=renamed))["plan"]
    assert (plan["gated"], plan["candidate"], plan["agent_name"]) == (True, None, "name-b")
