"""A hand-made project as the release before the first: refused, left, taken over, stopped and kept, brought back."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import docker, web
from ansible.module_utils.livekit_deploy.proof import observations, observed, probes
from ansible.module_utils.livekit_deploy.proof.checks.environment import check_environment
from ansible.module_utils.livekit_deploy.proof.checks.preview import check_preview
from ansible.module_utils.livekit_deploy.release import (
    adopted,
    adoption,
    containers,
    content,
    drain,
    notes,
    records,
    state,
    switch,
)
from ansible.module_utils.livekit_deploy.release.begin import preview_run
from ansible.module_utils.livekit_deploy.release.drain import Ending
from ansible.module_utils.livekit_deploy.release.errors import ReleaseError
from ansible.module_utils.livekit_deploy.release.plan import Goal, Order
from ansible.module_utils.livekit_deploy.release.proxy import upstream_text
from ansible.module_utils.livekit_deploy.release.run import Deployment
from ansible.module_utils.livekit_deploy.release.store import Releases

from tests.unit.module_utils import standin_story as story
from tests.unit.module_utils.standin_machine import Machine

CONTENT = content.given_content("", {"agent-worker": {"LIVEKIT_AGENT_NAME": "name-a"}}, {})
IMAGES = {name: f"r/{name}@sha256:1" for name in records.SERVICES}
ORDER = Order(Goal(content=CONTENT), "20260101T000000Z", "a", [18101, 18102], IMAGES, {"app": "app", "hook": True})
ADOPT = replace(ORDER, adopt="seed")
REGISTERED = json.dumps(
    {"message": "registered worker", "agent_name": "old", "id": "AW_old", "timestamp": "2025-12-01T00:00:05+00:00"}
)
SEED: dict[str, dict[str, Any]] = {
    "bot": {"env": ["LIVEKIT_URL=ws://l", "LIVEKIT_AGENT_NAME=old"], "log": REGISTERED},
    "web": {"env": ["LIVEKIT_URL=ws://l"], "port": 9000, "policy": "unless-stopped"},
    "cache": {},
}
BOT, WEB, CACHE = (f"seed-{service}-1" for service in SEED)


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    made.hand_made("seed", **SEED)
    return made


@pytest.fixture
def run(tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    (tmp_path / "app/releases").mkdir(parents=True)
    upstream = tmp_path / "upstream.conf"
    upstream.write_text(upstream_text("app", None))
    monkeypatch.setattr(adopted, "answers", lambda port, *_: port == 9000)
    return Deployment(Releases(machine.run, "app", str(tmp_path / "app"), str(upstream)))


def begin(run: Deployment, order: Order = ADOPT) -> Any:
    return story.begin(run, order)


def deploy(run: Deployment, machine: Machine, order: Order = ADOPT) -> Any:
    return story.deploy(run, machine, order)


def back(stamp: str, wanted: str = "previous") -> Order:
    return replace(ORDER, stamp=stamp, goal=Goal(kind="release", release=wanted), images={})


def return_to_it(run: Deployment, machine: Machine, wanted: str = "previous") -> Any:
    """A whole rollback that goes well."""
    return story.deploy(run, machine, back("20260102T000000Z", wanted))


def running(machine: Machine) -> list[str]:
    return [container["Id"] for container in machine.containers if container["State"]["Running"]]


def run_once(machine: Machine, service: str, running: bool = False, **given: Any) -> str:
    """What `docker compose run` made of a service; the newest container is listed first."""
    machine.hand_made("seed", **{service: {**SEED[service], "running": running, "once": True, **given}})
    machine.containers.insert(0, machine.containers.pop())
    return str(machine.containers[0]["Id"])


def policies(machine: Machine) -> dict[str, str]:
    return {c["Id"]: docker.restart_policy(c) for c in machine.containers if c["Id"] in (BOT, WEB, CACHE)}


# --- refused ---------------------------------------------------------------------------------------------------------


def one(project: str = "seed", **changes: Any) -> dict[str, Any]:
    known = {
        "project": project,
        "container": f"{project}-bot-1",
        "directory": f"/srv/{project}",
        "agent_name": "old",
        "worker_id": "AW_old",
        "unread": "",
        "unnamed": None,
        "dev": False,
        "reach": {"begins": 0.0, "ends": 1.0, "whole": True, "why": ""},
        "supervisor": {"kind": "docker", "name": ""},
        "start_command": "docker start bot",
        "signal": "TERM",
    }
    return {**known, **changes}


@pytest.mark.parametrize(
    ("workers", "adopt", "leave", "words"),
    [
        ([], "", [], ""),
        ([], "seed", [], ""),
        ([one()], "seed", [], ""),
        ([one()], "", ["seed"], ""),
        ([one(), one("more")], "seed", ["more"], ""),
        (
            [one(), one("more")],
            "seed",
            [],
            "compose project more with a worker, container more-bot-1, agent name 'old', in /srv/more",
        ),
        ([one()], "", [], "livekit_agent_adopt_project: seed "),
        ([one()], "", [], "livekit_agent_leave_projects: [seed]"),
        ([one(), one("more")], "", [], "livekit_agent_leave_projects: [seed, more]"),
        ([one()], "sed", [], "compose project seed with a worker"),
        ([one()], "seed", ["seed"], "both name seed"),
        ([one(), one(container="seed-bot-2")], "seed", [], "expected one worker in the project"),
        ([one(), one(container="seed-bot-2")], "", ["seed"], ""),
        (
            [one(supervisor={"kind": "other", "name": "systemd unit seed.service"})],
            "seed",
            [],
            "kept running by systemd unit seed.service",
        ),
        ([one(start_command="")], "seed", [], "removed when it stops"),
        ([one(signal="")], "seed", [], "stop signal"),
        ([one(agent_name=None)], "seed", [], "expected a name in its log or environment"),
        ([one(agent_name=None, env={"LIVEKIT_AGENT_NAME": "old"})], "seed", [], ""),
        ([one(agent_name=None, answered_name="old")], "seed", [], ""),
        (
            [one(agent_name="", env={"LIVEKIT_AGENT_NAME": "old"})],
            "seed",
            [],
            "automatic dispatch), expected a name. Give it one",
        ),
        ([one(worker_id=None)], "seed", [], "without a registration in its log, expected the line 'registered worker'"),
        ([one(worker_id=None, unread="no driver")], "seed", [], "its log (no driver), expected"),
        ([], "theirs", [], "which the application billing has taken over"),
    ],
)
def test_refusal(workers: list[dict[str, Any]], adopt: str, leave: list[str], words: str) -> None:
    said = adoption.adoption_refusal(workers, adopt, leave, {"theirs": "billing"})
    assert (words in said) if words else said == ""


def test_hand_made_worker_refuses_the_first_release_and_is_named(run: Deployment) -> None:
    with pytest.raises(
        ReleaseError, match=rf"compose project seed with a worker, container {BOT}, agent name 'old', in /srv/seed"
    ):
        begin(run, ORDER)
    with pytest.raises(ReleaseError, match="livekit_agent_adopt_project: seed"):
        preview_run(run.releases, ORDER)
    assert (run.releases.records(), run.releases.current(), run.lock.read().owner) == ([], None, None)


@pytest.mark.parametrize(
    "changes",
    [{"running": False}, {"env": ["LIVEKIT_URL=ws://l"], "log": "{}"}],
    ids=["a worker that is stopped", "a container that is no worker"],
)
def test_what_is_no_running_worker_is_not_refused(run: Deployment, machine: Machine, changes: dict[str, Any]) -> None:
    machine.containers.clear()
    machine.hand_made("seed", bot={**SEED["bot"], **changes})
    assert begin(run, ORDER)["plan"]["changed"]


def test_worker_whose_name_is_only_in_its_code_is_refused(run: Deployment, machine: Machine) -> None:
    machine.containers.clear()
    machine.hand_made("seed", bot={"env": ["LIVEKIT_URL=ws://l"], "log": REGISTERED})
    with pytest.raises(ReleaseError, match="agent name 'old'"):
        begin(run, ORDER)


def test_worker_without_a_compose_project_is_not_refused(run: Deployment, machine: Machine) -> None:
    del docker.labels(machine.container(BOT))[docker.PROJECT_LABEL]
    assert begin(run, ORDER)["plan"]["changed"]


def test_release_of_another_application_is_not_refused(run: Deployment, machine: Machine, tmp_path: Path) -> None:
    directory = tmp_path / "other/releases/20260101T000000Z-00000001"
    directory.mkdir(parents=True)
    docker.labels(machine.container(BOT))[docker.DIRECTORY_LABEL] = str(directory)
    with pytest.raises(ReleaseError):
        begin(run, ORDER)
    known = {"id": directory.name, "app": "other", "state": "serving", "agent_name": "old", "api_port": None}
    (directory / "release.json").write_text(json.dumps(known))
    assert begin(run, ORDER)["plan"]["changed"]


def test_hand_made_project_is_no_matter_once_a_release_serves(run: Deployment, machine: Machine) -> None:
    hand_made, machine.containers = machine.containers, []
    deploy(run, machine, ORDER)
    machine.containers += hand_made
    assert begin(run, replace(ORDER, stamp="20260102T000000Z"))["plan"]["changed"] is False


def test_project_that_is_left_alone_runs_on(run: Deployment, machine: Machine) -> None:
    answer = deploy(run, machine, replace(ORDER, leave=["seed"]))
    assert answer["plan"]["previous"] is None
    assert set(running(machine)) > {BOT, WEB, CACHE}


def adopted_by(other: Path, project: str) -> Path:
    directory = other / "releases/20260101T000000Z-00000001"
    directory.mkdir(parents=True)
    adopted: dict[str, Any] = {
        "project": project,
        "directory": "/srv",
        "worker": "w",
        "api": None,
        "containers": ["w"],
        "ports": [],
        "policies": {},
    }
    known = {"id": directory.name, "app": other.name, "state": "retired", "agent_name": "old", "api_port": None}
    (directory / "release.json").write_text(json.dumps({**known, "adopted": adopted}))
    return directory


def test_project_that_another_application_has_adopted_is_not_refused(run: Deployment, tmp_path: Path) -> None:
    directory = adopted_by(tmp_path / "billing", "seed")
    assert begin(run, ORDER)["plan"]["changed"]
    (directory / "release.json").write_text("{}")
    with pytest.raises(ReleaseError, match="compose project seed with a worker"):
        begin(run, ORDER)


def test_project_that_another_application_has_adopted_is_not_taken_over(run: Deployment, tmp_path: Path) -> None:
    adopted_by(tmp_path / "billing", "seed")
    with pytest.raises(ReleaseError, match="names seed, which the application billing has taken over"):
        begin(run)


def test_worker_that_was_started_with_dev_is_refused_when_it_is_adopted(run: Deployment, machine: Machine) -> None:
    machine.container(BOT).update(Path="python", Args=["agent.py", "dev"])
    machine.logs[BOT] = '12:00:00 INFO livekit.agents registered worker {"agent_name": "old", "id": "AW_old"}\n'
    with pytest.raises(ReleaseError, match="started with `dev`, which ends its calls at once"):
        begin(run)


def test_log_without_the_id_of_a_registration_is_refused_in_fitting_words(run: Deployment, machine: Machine) -> None:
    machine.logs[BOT] = "INFO:livekit.agents:registered worker\n"
    with pytest.raises(ReleaseError, match="mentions a registration in which its id cannot be read"):
        begin(run)


NODE = (
    '{"level":30,"time":1764273660123,"pid":7,"hostname":"h","id":"AW_old","agentName":"old","msg":"registered '
    'worker"}\n'
)


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(
            '12:00:00 INFO livekit.agents registered worker {"agent_name": "old", "id": "AW_old"}\n',
            id="text with fields",
        ),
        pytest.param(NODE, id="agents-js"),
    ],
)
def test_worker_with_another_form_of_log_is_adopted(run: Deployment, machine: Machine, log: str) -> None:
    machine.logs[BOT] = log
    assert begin(run)["release"]["earlier_worker_ids"] == ["AW_old"]


NAMED = [
    (
        "sed",
        [],
        r"names sed, which is no compose project of this host, expected one of: seed \(bot stopped, cache",
    ),
    (
        "seed",
        [],
        (
            r"compose project seed, which livekit_agent_adopt_project names, has no worker that runs \(bot stopped, "
            r"cache running"
        ),
    ),
    (
        "",
        ["sed"],
        (
            r"livekit_agent_leave_projects names sed, which this host has no compose project of, "
            r"expected one of: seed \(bot"
        ),
    ),
    ("", ["seed"], ""),
]


@pytest.mark.parametrize(("adopt", "leave", "words"), NAMED)
@pytest.mark.parametrize("check", [True, False])
def test_name_that_matches_nothing_is_refused_with_the_projects_of_the_host(
    run: Deployment, machine: Machine, adopt: str, leave: list[str], words: str, check: bool
) -> None:
    machine.stop(BOT, ends=True)
    order = replace(ORDER, adopt=adopt, leave=leave)
    with pytest.raises(ReleaseError, match=words) if words else nullcontext():
        preview_run(run.releases, order) if check else begin(run, order)
    assert bool(run.releases.records()) is not (bool(words) or check)


def test_worker_that_restarts_is_told_with_its_state(run: Deployment, machine: Machine) -> None:
    machine.container(BOT)["State"] |= {"Running": False, "Status": "restarting"}
    with pytest.raises(ReleaseError, match=r"has no worker that runs \(bot restarting"):
        begin(run)


def test_host_without_a_project_says_so(run: Deployment, machine: Machine) -> None:
    machine.containers = []
    with pytest.raises(ReleaseError, match="expected one of: none, this host has no project"):
        begin(run)


# --- taken over ------------------------------------------------------------------------------------------------------


def test_adopted_project_is_the_release_before(run: Deployment) -> None:
    answer = begin(run)
    record = answer["release"]
    assert (record["agent_name"], record["api_port"], record["state"], record["hook"]) == (
        "old",
        9000,
        "serving",
        False,
    )
    assert (answer["plan"]["previous"], answer["plan"]["agent_name_before"]) == (record["id"], "old")
    assert "127.0.0.1:9000" in run.releases.upstream.read_text()
    assert (record["images"], answer["drift"]) == ({"agent-worker": "bot:1", "fastapi": "web:1"}, [])


@pytest.mark.parametrize(("name", "candidate", "gate"), [("name-a", None, "closed"), ("old", "old-candidate", "open")])
def test_new_worker_waits_behind_its_gate_beside_it_under_another_name(
    run: Deployment, name: str, candidate: str | None, gate: str
) -> None:
    """Under the same name no probe can be directed past its worker."""
    plan = begin(run, replace(ADOPT, goal=Goal(content=CONTENT.named(name))))["plan"]
    assert (plan["candidate"], run.releases.gate(plan["id"])) == (candidate, gate)


def test_its_worker_ids_are_ours_from_the_first_reading_on(run: Deployment) -> None:
    answer = begin(run)
    assert observations.own_ids([answer], answer["states"]) == ["AW_old"]
    assert (run.releases.record(answer["plan"]["id"]) or {})["earlier_worker_ids"] == ["AW_old"]
    assert probes.serves(answer, "old")


def test_worker_with_its_name_in_the_code_is_read_once_it_is_adopted(run: Deployment, machine: Machine) -> None:
    machine.container(BOT)["Config"]["Env"] = ["LIVEKIT_URL=ws://l"]
    assert [found["worker_id"] for found in begin(run)["workers"]] == ["AW_old"]


def test_preview_of_an_adoption_writes_nothing(run: Deployment) -> None:
    answer = preview_run(run.releases, ADOPT)
    assert (run.releases.records(), run.releases.current(), answer["plan"]["agent_name_before"]) == ([], None, "old")
    lines = notes.plan_notes("a", answer, check=True)
    assert lines[0].startswith("a: compose project seed (/srv/seed) would be adopted as release 20251201T000000Z-")
    assert {
        f"  {BOT} (the worker): stopped when {answer['plan']['id']} serves, and kept",
        f"  {WEB} (the API): stopped when {answer['plan']['id']} serves, and kept",
        f"  {CACHE} (running): left as it is",
    } < set(lines)
    assert lines[-1].endswith("then stop worker and API of seed")


def test_report_says_how_to_bring_it_back(run: Deployment) -> None:
    answer = begin(run)
    lines = notes.plan_notes("a", answer, check=False)
    assert "is adopted as release" in lines[0]
    assert lines[4].endswith(f"playbooks/rollback.yml --limit a -e rollback_to={answer['release']['id']}")


def test_worker_and_api_alone_are_stopped_and_kept_after_the_switch(run: Deployment, machine: Machine) -> None:
    answer = deploy(run, machine)
    assert sorted(running(machine)) == sorted(
        [CACHE, *(f"{answer['plan']['id']}-{service}" for service in records.SERVICES)]
    )
    assert {BOT, WEB, CACHE} < {container["Id"] for container in machine.containers}
    assert machine.asked("docker", "kill") == [["docker", "kill", "--signal", "TERM", BOT]]
    stopped = [command[-1] for command in machine.asked("docker", "stop")]
    assert stopped == [WEB]
    assert [c for c in machine.commands if CACHE in c and c[1] in ("stop", "start", "update", "kill", "rm")] == []
    assert "down" not in [word for command in machine.commands for word in command]


def test_stopped_container_does_not_come_back_when_docker_starts(run: Deployment, machine: Machine) -> None:
    answer = deploy(run, machine)
    assert policies(machine) == {**dict.fromkeys((BOT, WEB), "unless-stopped"), CACHE: "always"}
    record = run.releases.record(answer["release"]["id"]) or {}
    assert (record["state"], record["adopted"]["policies"]) == ("retired", {BOT: "always"})
    changed = [machine.commands.index(command) for command in machine.asked("docker", "update")]
    assert max(changed) < min(machine.commands.index(command) for command in machine.asked("docker", "stop"))


def test_other_containers_are_not_touched(run: Deployment, machine: Machine) -> None:
    machine.hand_made("somebody", db={})
    deploy(run, machine)
    assert "somebody-db-1" in running(machine)
    assert [
        command
        for command in machine.commands
        if command[-1] == "somebody-db-1" and command[1] not in ("inspect", "logs")
    ] == []


def test_worker_with_another_stop_signal_gets_that_one(run: Deployment, machine: Machine) -> None:
    machine.container(BOT)["Config"]["StopSignal"] = "SIGINT"
    deploy(run, machine)
    assert machine.asked("docker", "kill") == [["docker", "kill", "--signal", "INT", BOT]]


def test_busy_worker_is_left_to_finish_its_calls_and_told_once(run: Deployment, machine: Machine) -> None:
    machine.drains = False
    deploy(run, machine)
    drain.retire_all(run.releases, Ending(0.1, keep=3))
    assert (BOT in running(machine), CACHE in running(machine)) == (True, True)
    assert len(machine.asked("docker", "kill")) == 1


def test_failed_release_leaves_the_project_serving(run: Deployment, machine: Machine) -> None:
    answer = begin(run)
    machine.start(answer["plan"]["id"])
    run.step(answer["fence"], "switch", 10.0, lambda: switch.serve(run.releases, answer["plan"]["id"]))
    done = run.abandon(answer["fence"], "it crashed")
    assert (done["serving"], running(machine)) == (answer["release"]["id"], [BOT, WEB, CACHE])
    assert "127.0.0.1:9000" in run.releases.upstream.read_text()
    again = begin(run, replace(ORDER, stamp="20260102T000000Z"))
    assert again["plan"]["previous"] == answer["release"]["id"]


def test_project_without_an_api_is_gone_back_to_all_the_same(run: Deployment, machine: Machine) -> None:
    machine.containers = [machine.container(BOT)]
    answer = begin(run)
    machine.start(answer["plan"]["id"])
    run.step(answer["fence"], "switch", 10.0, lambda: switch.serve(run.releases, answer["plan"]["id"]))
    assert run.abandon(answer["fence"], "it crashed")["serving"] == answer["release"]["id"]
    assert (answer["release"]["api_port"], run.releases.upstream.read_text()) == (None, upstream_text("app", None))
    assert state.release_info(run.releases)["drift"] == []


def test_project_that_the_inventory_now_leaves_alone_is_let_go(run: Deployment, machine: Machine) -> None:
    first = begin(run)
    run.abandon(first["fence"], "it crashed")
    answer = deploy(run, machine, replace(ORDER, stamp="20260102T000000Z", leave=["seed"]))
    assert (answer["plan"]["previous"], [r["id"] for r in run.releases.records()]) == (None, [answer["plan"]["id"]])
    assert run.releases.record(first["release"]["id"]) is None
    assert set(running(machine)) > {BOT, WEB, CACHE}


def test_its_record_is_kept_as_long_as_its_containers(run: Deployment, machine: Machine) -> None:
    adopted = deploy(run, machine)["release"]["id"]
    assert adopted not in drain.retire_all(run.releases, Ending(0.0, keep=0))["removed"]
    machine.containers = [container for container in machine.containers if container["Id"] not in (BOT, WEB, CACHE)]
    assert drain.retire_all(run.releases, Ending(0.0, keep=0))["removed"] == [adopted]


def test_its_stopped_containers_are_nothing_to_clear(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    assert state.release_info(run.releases)["leftovers"] == []
    assert drain.retire_all(run.releases, Ending(0.0, keep=3)) == {
        "draining": [],
        "retired": [],
        "removed": [],
        "troubles": [],
    }


@pytest.mark.parametrize("service", ["bot", "web"])
def test_what_was_run_once_of_a_service_is_neither_worker_nor_api(
    run: Deployment, machine: Machine, service: str
) -> None:
    left = run_once(machine, service)
    answer = deploy(run, machine)
    assert (answer["drift"], left in answer["release"]["adopted"]["containers"]) == ([], False)
    assert [command[-1] for command in machine.asked("docker", "kill")] == [BOT]
    assert switch.can_go_back(run.releases, {"previous": answer["release"]["id"]}) is False
    return_to_it(run, machine)
    assert [command[-1] for command in machine.asked("docker", "start")] == [BOT, WEB]
    assert state.release_info(run.releases)["drift"] == []


def test_release_that_fails_goes_back_to_a_project_with_what_was_run_once(run: Deployment, machine: Machine) -> None:
    run_once(machine, "bot")
    answer = begin(run)
    machine.start(answer["plan"]["id"])
    run.step(answer["fence"], "switch", 10.0, lambda: switch.serve(run.releases, answer["plan"]["id"]))
    assert run.abandon(answer["fence"], "it crashed")["serving"] == answer["release"]["id"]


def test_what_is_run_once_meanwhile_is_left_as_it_is(run: Deployment, machine: Machine) -> None:
    left = run_once(machine, "web", running=True)
    deploy(run, machine)
    assert left in running(machine)
    return_to_it(run, machine)
    assert left in running(machine)


def test_container_that_cannot_be_read_keeps_no_release_from_being_taken_back(
    run: Deployment, machine: Machine
) -> None:
    answer = begin(run)
    machine.start(answer["plan"]["id"])
    machine.logs[f"{answer['plan']['id']}-fastapi"] = None
    run.step(answer["fence"], "switch", 10.0, lambda: switch.serve(run.releases, answer["plan"]["id"]))
    done = run.abandon(answer["fence"], "it crashed")
    assert done["serving"] == answer["release"]["id"]
    assert done["log"] == [
        "fastapi: its log cannot be read: configured logging driver does not support reading",
        "agent-worker: last words",
    ]


@pytest.mark.parametrize(("service", "port"), [("web", 18101), ("cache", 18101), ("cache", 18102)])
def test_release_takes_no_port_of_the_project(run: Deployment, machine: Machine, service: str, port: int) -> None:
    machine.containers.clear()
    machine.hand_made("seed", **{**SEED, service: {**SEED[service], "port": port}})
    assert begin(run)["plan"]["api_port"] == {18101: 18102, 18102: 18101}[port]


def test_project_that_has_both_ports_is_refused(run: Deployment, machine: Machine) -> None:
    machine.containers.clear()
    machine.hand_made("seed", bot=SEED["bot"], web={**SEED["web"], "port": 18101}, cache={"port": 18102})
    with pytest.raises(ReleaseError, match="uses the ports 18101, 18102, expected one of agent_api_ports that is free"):
        begin(run)


def test_user_is_told_that_no_api_is_known(run: Deployment, machine: Machine) -> None:
    machine.containers = [machine.container(BOT)]
    answer = deploy(run, machine)
    assert "the proxy answers 502, also after a rollback" in "\n".join(notes.plan_notes("a", answer, check=False))
    returns = begin(run, back("20260102T000000Z"))
    assert "a: which API is of compose project seed is not known" in "\n".join(
        notes.plan_notes("a", returns, check=False)
    )


def test_user_is_told_nothing_of_an_api_that_is_known(run: Deployment, machine: Machine) -> None:
    said = notes.plan_notes("a", deploy(run, machine), check=False)
    assert "502" not in "\n".join([*said, *notes.plan_notes("a", begin(run, back("20260102T000000Z")), check=False)])


# --- adopted anew until a release has served -------------------------------------------------------------------------


def edited(machine: Machine) -> None:
    """Somebody has changed the project meanwhile: new containers, another port, one service less, another name."""
    machine.containers.clear()
    machine.hand_made(
        "seed", bot={**SEED["bot"], "log": REGISTERED.replace("old", "newer")}, web={**SEED["web"], "port": 9001}
    )
    for container in machine.containers:
        container["Id"] = f"{container['Id']}-again"
        machine.logs[container["Id"]] = machine.logs[container["Name"].lstrip("/")]


def test_project_that_was_changed_before_a_release_served_is_recorded_anew(run: Deployment, machine: Machine) -> None:
    first = begin(run)
    run.abandon(first["fence"], "it crashed")
    edited(machine)
    assert (preview_run(run.releases, ADOPT)["release"] or {})["api_port"] == 9001
    answer = begin(run, replace(ADOPT, stamp="20260102T000000Z"))
    record = answer["release"]
    assert (record["id"], record["api_port"], record["agent_name"]) == (first["release"]["id"], 9001, "newer")
    assert (record["adopted"]["containers"], record["earlier_worker_ids"]) == ([BOT, WEB], ["AW_old", "AW_newer"])
    assert "127.0.0.1:9001" in run.releases.upstream.read_text()
    assert answer["drift"] == []


def test_project_that_became_unfit_is_refused(run: Deployment, machine: Machine) -> None:
    run.abandon(begin(run)["fence"], "it crashed")
    machine.container(BOT)["HostConfig"]["AutoRemove"] = True
    with pytest.raises(ReleaseError, match="removed when it stops"):
        begin(run, replace(ORDER, stamp="20260102T000000Z"))


def test_project_whose_worker_does_not_run_now_stays_as_it_was_recorded(run: Deployment, machine: Machine) -> None:
    first = begin(run)
    run.abandon(first["fence"], "it crashed")
    machine.container(BOT)["State"]["Running"] = False
    assert begin(run, replace(ADOPT, stamp="20260102T000000Z"))["release"]["adopted"] == first["release"]["adopted"]


def test_project_that_a_release_has_replaced_keeps_its_record(run: Deployment, machine: Machine) -> None:
    adopted = deploy(run, machine)["release"]
    return_to_it(run, machine)
    machine.hand_made("seed", more={})
    assert (
        begin(run, replace(ADOPT, stamp="20260103T000000Z"))["release"]["adopted"]["containers"]
        == adopted["adopted"]["containers"]
    )


def test_another_project_is_adopted_in_the_place_of_the_first(run: Deployment, machine: Machine) -> None:
    run.abandon(begin(run)["fence"], "it crashed")
    machine.hand_made("more", bot={**SEED["bot"]}, web={**SEED["web"], "port": 9002})
    answer = begin(run, replace(ADOPT, stamp="20260102T000000Z", adopt="more", leave=["seed"]))
    assert (answer["release"]["adopted"]["project"], answer["plan"]["previous"]) == ("more", answer["release"]["id"])
    assert [record["id"] for record in run.releases.records() if record.get("adopted")] == [answer["release"]["id"]]
    assert "127.0.0.1:9002" in run.releases.upstream.read_text()


# --- brought back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_id", [True, False])
def test_rollback_starts_its_containers_again(run: Deployment, machine: Machine, by_id: bool) -> None:
    first = deploy(run, machine)
    before = policies(machine)
    answer = return_to_it(run, machine, first["release"]["id"] if by_id else "previous")
    plan = answer["plan"]
    assert (plan["id"], plan["project"], plan["agent_name"], plan["images"]) == (
        first["release"]["id"],
        "seed",
        "old",
        {},
    )
    # As it is, it can be proven under no other name.
    assert (plan["gated"], plan["candidate"]) == (False, None)
    assert sorted(running(machine)) == sorted([BOT, WEB, CACHE])
    started = [command[-1] for command in machine.asked("docker", "start")]
    assert started == [BOT, WEB]
    assert (before[WEB], policies(machine)) == (
        "unless-stopped",
        {BOT: "always", WEB: "unless-stopped", CACHE: "always"},
    )
    current = run.releases.current() or {}
    assert current["rolled_back"]
    assert (current["id"], current["rolled_back"]["kind"], current["previous"]) == (
        plan["id"],
        "release",
        first["plan"]["id"],
    )
    assert "127.0.0.1:9000" in run.releases.upstream.read_text()
    assert state.release_info(run.releases)["drift"] == []


def test_next_deployment_returns_to_the_inventory_and_stops_it_again(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    return_to_it(run, machine)
    answer = deploy(run, machine, replace(ORDER, stamp="20260103T000000Z"))
    said = notes.plan_notes("a", answer, check=False)
    assert said[0].endswith("returns to the inventory's name-a")
    assert [BOT in running(machine), policies(machine)[BOT]] == [False, "unless-stopped"]
    assert len(machine.asked("docker", "kill", "--signal", "TERM", BOT)) == 2


def test_rollback_that_fails_stops_it_again_and_keeps_it(run: Deployment, machine: Machine) -> None:
    first = deploy(run, machine)
    answer = begin(run, back("20260102T000000Z"))
    run.step(
        answer["fence"],
        "start agent-worker",
        10.0,
        lambda: containers.start_service(run.releases, answer["plan"]["id"], "agent-worker"),
    )
    done = run.abandon(answer["fence"], "it never registered")
    assert (done["serving"], BOT in running(machine)) == (first["plan"]["id"], False)
    assert (run.releases.record(first["release"]["id"]) or {})["state"] == "retired"
    assert begin(run, back("20260103T000000Z"))["plan"]["id"] == first["release"]["id"]


def test_return_that_was_left_in_the_middle_is_stopped_and_kept(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    answer = begin(run, back("20260102T000000Z"))
    run.step(
        answer["fence"],
        "start agent-worker",
        10.0,
        lambda: containers.start_service(run.releases, answer["plan"]["id"], "agent-worker"),
    )
    assert drain.retire_all(run.releases, Ending(1.0, keep=3)) == {
        "draining": [],
        "retired": [answer["plan"]["id"]],
        "removed": [],
        "troubles": [],
    }
    assert BOT not in running(machine)


def test_rollback_is_refused_when_its_containers_are_gone(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    machine.containers = [container for container in machine.containers if container["Id"] != WEB]
    with pytest.raises(ReleaseError, match=rf"adopted compose project seed, whose containers are gone \({WEB}\)"):
        begin(run, back("20260102T000000Z"))


def test_rollback_is_refused_while_its_worker_still_has_calls(run: Deployment, machine: Machine) -> None:
    machine.drains = False
    deploy(run, machine)
    said = r"was told to stop and still has calls .wait until its calls have ended, then run it again.*from: none"
    with pytest.raises(ReleaseError, match=said):
        begin(run, back("20260102T000000Z"))


def test_rollback_is_refused_while_the_release_has_a_port_of_it(run: Deployment, machine: Machine) -> None:
    first = deploy(run, machine)["release"]
    second = replace(ORDER, stamp="20260102T000000Z", ports=[9000, 18102], force=True)
    answer = deploy(run, machine, second)
    assert answer["plan"]["api_port"] == 9000
    with pytest.raises(
        ReleaseError, match=r"publishes port 9000, where the API of the serving release listens.*force_release=true"
    ):
        begin(run, back("20260103T000000Z", first["id"]))


def test_choice_has_nothing_that_would_be_refused(run: Deployment, machine: Machine) -> None:
    adopted = deploy(run, machine)["release"]["id"]
    with pytest.raises(ReleaseError, match=f"To choose from: {adopted}"):
        begin(run, back("20260102T000000Z", "20250101T000000Z-00000001"))
    machine.containers = [container for container in machine.containers if container["Id"] != BOT]
    with pytest.raises(ReleaseError, match="To choose from: none"):
        begin(run, back("20260102T000000Z", "20250101T000000Z-00000001"))


@pytest.mark.parametrize(("shared", "kind"), [("old", "shared_name"), ("other", "release"), ("", "release")])
def test_adopted_project_under_the_shared_name_is_known_to_share_it(
    run: Deployment, machine: Machine, shared: str, kind: str
) -> None:
    deploy(run, machine)
    goal = Goal(kind="release", release="previous", shared_name=shared)
    assert begin(run, replace(ORDER, stamp="20260102T000000Z", goal=goal))["plan"]["rolled_back"]["kind"] == kind


def test_what_an_earlier_version_has_stopped_is_started_in_the_order_in_which_it_was_made(
    run: Deployment, machine: Machine
) -> None:
    machine.hand_made("seed", db={"created": "2025-11-30T00:00:00.5Z"}, proxy={"created": "2025-12-02T00:00:00Z"})
    old = run.releases.record(deploy(run, machine)["release"]["id"]) or {}
    every = [BOT, CACHE, "seed-db-1", "seed-proxy-1", WEB]
    kept = {key: value for key, value in old["adopted"].items() if key != "others"}
    run.releases.save(old, adopted={**kept, "containers": every, "policies": {CACHE: "always"}})
    for name in every:
        machine.stop(name, ends=True)
    machine.container(CACHE)["HostConfig"]["RestartPolicy"]["Name"] = "unless-stopped"
    return_to_it(run, machine)
    assert policies(machine)[CACHE] == "always"
    started = [command[-1] for command in machine.asked("docker", "start")]
    assert started == ["seed-db-1", CACHE, "seed-proxy-1", BOT, WEB]


def test_worker_that_is_back_is_told_from_an_api_with_its_variables(run: Deployment, machine: Machine) -> None:
    """The worker has its name in its code."""
    machine.container(BOT)["Config"]["Env"] = ["LIVEKIT_URL=ws://l"]
    machine.container(WEB)["Config"]["Env"] = ["LIVEKIT_URL=ws://l", "LIVEKIT_AGENT_NAME=old"]
    answer = return_to_it(run, machine) if deploy(run, machine) else {}
    state.refuse_unstable(run.releases, answer["plan"]["id"], "AW_old")
    with pytest.raises(ReleaseError, match="registered anew as AW_old"):
        state.refuse_unstable(run.releases, answer["plan"]["id"], "AW_other")


@pytest.mark.parametrize(
    "more", [{"spare": {**SEED["bot"], "running": False}}, {}], ids=["beside a stopped one", "alone"]
)
def test_worker_that_logs_no_name_can_be_brought_back(run: Deployment, machine: Machine, more: dict[str, Any]) -> None:
    machine.hand_made("seed", **more)
    machine.logs[BOT] = REGISTERED.replace('"agent_name": "old", ', "")
    deploy(run, machine)
    answer = return_to_it(run, machine)
    state.refuse_unstable(run.releases, answer["plan"]["id"], "AW_old")


def test_shared_name_cannot_be_restored_on_an_adopted_project(run: Deployment, machine: Machine) -> None:
    deploy(run, machine)
    return_to_it(run, machine)
    with pytest.raises(ReleaseError, match="adopted compose project seed serves, expected a release"):
        begin(run, replace(ORDER, goal=Goal(kind="shared_name", shared_name="shared")))


def test_api_that_does_not_answer_is_told(run: Deployment, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(run, machine)
    answer = begin(run, back("20260102T000000Z"))
    monkeypatch.setattr(adopted, "answers", lambda *_: False)
    with pytest.raises(ReleaseError, match=f"nothing speaks HTTP on port 9000.*docker logs {WEB}"):
        containers.start_service(run.releases, answer["plan"]["id"], "fastapi")


# --- parts -----------------------------------------------------------------------------------------------------------


def test_project_that_is_let_go_is_none_that_the_proxy_points_to(run: Deployment) -> None:
    run.abandon(begin(run)["fence"], "it crashed")
    begin(run, replace(ORDER, stamp="20260102T000000Z", leave=["seed"]))
    assert run.releases.upstream.read_text() == upstream_text("app", None)


def publishing(service: str, ports: dict[str, list[dict[str, str]]], *env: str) -> dict[str, Any]:
    return {"Name": f"/{service}", "Config": {"Env": list(env)}, "NetworkSettings": {"Ports": ports}}


def on(port: int, address: str = "127.0.0.1") -> dict[str, list[dict[str, str]]]:
    return {"80/tcp": [{"HostIp": address, "HostPort": str(port)}]}


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ([], None),
        ([publishing("web", {})], None),
        ([publishing("web", on(9000))], ("web", 9000)),
        ([publishing("db", on(5432))], None),
        ([publishing("web", on(8000), "LIVEKIT_URL=ws://l")], ("web", 8000)),
        ([publishing("web", on(9000, "0.0.0.0"))], ("web", 9000)),  # noqa: S104  nothing is bound
        ([publishing("web", on(9000, "10.0.0.7"))], None),
        ([publishing("web", {"80/udp": [{"HostIp": "127.0.0.1", "HostPort": "9000"}]})], None),
        ([publishing("web", {"80/tcp": on(9001)["80/tcp"], "81/tcp": on(9000)["80/tcp"]})], ("web", 9000)),
        ([publishing("db", on(5432)), publishing("web", on(9000), "LIVEKIT_URL=ws://l")], ("web", 9000)),
        ([publishing("db", on(5432)), publishing("web", on(9000))], None),
    ],
)
def test_api_is_what_publishes_a_port(
    others: list[dict[str, Any]], found: tuple[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopted, "answers", lambda port, _: port >= 9000)
    api, port = adoption.project_api(others)
    assert (found or (None, None)) == (api["Name"].lstrip("/") if api else None, port)


def test_what_the_host_knows_is_read_with_the_worker_of_a_project(run: Deployment, machine: Machine) -> None:
    machine.hand_made("seed", spare={**SEED["bot"], "running": False})
    found = {one["container"]: one["release"] for one in begin(run)["workers"]}
    assert (found[BOT] is not None, found["seed-spare-1"]) == (True, None)


def test_a_second_try_makes_the_same_record(machine: Machine) -> None:
    (found,) = adoption.strangers(machine.run, machine.containers, {})
    one_more = adoption.adopted_record("app", found, list(reversed(machine.containers)))
    assert one_more == adoption.adopted_record("app", found, machine.containers)
    assert records.ID_PATTERN.fullmatch(one_more["id"])


def test_what_is_neither_worker_nor_api_is_not_started_again(machine: Machine) -> None:
    machine.hand_made("seed", migrate={"running": False})
    (found,) = adoption.strangers(machine.run, machine.containers, {})
    record = adoption.adopted_record("app", found, machine.containers)
    started = [container["Id"] for container in adopted.to_start(record, machine.containers, "agent-worker")]
    assert started == [BOT]
    assert record["adopted"]["others"] == {CACHE: "running", "seed-migrate-1": "stopped"}


def test_only_workers_of_adopted_projects_are_claimed() -> None:
    seen = [("seed-bot-1", None), ("app-x", "x"), ("seed-bot-2", None)]
    reading: Any = {
        "time": 1,
        "workers": [{"project": "seed", "container": name, "release": release_id} for name, release_id in seen],
    }
    claimed = adopted.claimed(reading, {"seed-bot-1": "id"})
    assert [worker.get("release") for worker in claimed["workers"]] == ["id", "x", None]
    assert adopted.claimed(reading, None)["workers"] == reading["workers"]


@pytest.mark.parametrize(
    ("services", "ok", "words"),
    [
        ({"agent-worker": {"running": True}}, True, ""),
        ({"agent-worker": {"running": True}, "fastapi": {"running": False}}, False, "fastapi does not run"),
        ({"agent-worker": {"running": False}}, False, "agent-worker does not run"),
    ],
)
def test_environment_of_an_adopted_project_is_its_own(services: dict[str, Any], ok: bool, words: str) -> None:
    host = observed.observed_host("a", {"agent_name": "old", "adopted": True, "services": services}, {})
    check = check_environment(host)
    assert (check.ok, words in check.found) == (ok, True)


def test_adopted_project_without_an_api_needs_no_preview() -> None:
    host = observed.observed_host("a", {"agent_name": "old", "adopted": True, "parts": ["agent-worker"]}, {})
    assert check_preview(host, wanted=True).ok


@pytest.mark.parametrize(
    ("status", "there"), [pytest.param(0, False, id="nobody, or no HTTP"), (404, True), (200, True)]
)
def test_api_of_an_adopted_project_is_there_when_anything_answers(
    status: int, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopted.web, "ask", lambda *_: web.Answer(status))
    assert adopted.answers(9000, seconds=0.0) is there
