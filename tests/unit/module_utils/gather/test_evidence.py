"""Evidence of a host: what is there is told, what cannot be read is a sentence, and nothing found makes it fail."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common import times
from ansible.module_utils.livekit_deploy.gather import api_log, evidence, notes
from ansible.module_utils.livekit_deploy.machine import docker, processes
from ansible.module_utils.livekit_deploy.release import refusal, switch
from ansible.module_utils.livekit_deploy.release.records import Record
from ansible.module_utils.livekit_deploy.release.store import Releases

from tests.unit.module_utils.standin import Told


def iso(seconds: float) -> str:
    return times.iso(seconds, "seconds")


NOW = time.time()
RELEASE = "20260101T000000Z-00000001"
PROJECT = f"app-{RELEASE}".lower()
NAME = "support-web1"
ENV = {"AGENT_NAME": NAME, "LIVEKIT_AGENT_NAME": NAME, "LIVEKIT_URL": "ws://livekit:7880"}
REGISTERED = json.dumps({"message": "registered worker", "id": "AW_1", "agent_name": NAME, "timestamp": iso(NOW - 500)})
SECRET = "hidden-secret"


def requested(job_id: str, seconds: float) -> str:
    return json.dumps(
        {"message": "received job request", "job_id": job_id, "room": "r", "timestamp": iso(NOW + seconds)}
    )


def stamped(seconds: float, **event: Any) -> str:
    """A line of the reference application's API, as ``docker logs --timestamps`` shows it."""
    return f"{iso(NOW + seconds).replace('+00:00', '.123456789Z')} {json.dumps(event)}"


def created(seconds: float, name: str = NAME, room: str = "r1") -> str:
    return stamped(seconds, event="dispatch_created", room=room, dispatch_id="AD_1", agent_name=name)


FIRST_WORDS = f"{iso(NOW - 4999)} INFO:     Started server process [1]"


class Machine:
    """Answers docker's command line from made-up containers; a command in ``fails`` ends so."""

    def __init__(self) -> None:
        self.run = Told(self.answer)
        self.containers: list[dict[str, Any]] = []
        self.logs: dict[str, str] = {}
        self.config: dict[str, Any] = {}
        self.warning = ""
        self.fails: dict[str, tuple[int, str, str]] = {}
        self.commands: list[list[str]] = []

    def start(self, project: str, service: str, log: str = "", directory: str = "", **env: str) -> dict[str, Any]:
        labels = {docker.PROJECT_LABEL: project, docker.SERVICE_LABEL: service, docker.CONFIG_LABEL: f"{service}-hash"}
        if directory:
            labels |= {docker.DIRECTORY_LABEL: directory, docker.FILES_LABEL: f"{directory}/compose.yml"}
        container = {
            "Id": f"{project}-{service}-id",
            "Name": f"/{project}-{service}-1",
            "Created": iso(NOW - 5000),
            "State": {"Running": True, "ExitCode": 0, "StartedAt": iso(NOW - 5000), "Pid": 0},
            "Config": {"Image": "i", "Env": [f"{name}={value}" for name, value in env.items()], "Labels": labels},
            "NetworkSettings": {"Networks": {}},
        }
        self.containers.append(container)
        self.logs[str(container["Id"])] = log
        return container

    def answer(self, argv: Sequence[str]) -> tuple[int, str, str]:
        self.commands.append(list(argv))
        for words, answer in self.fails.items():
            if words in " ".join(argv):
                return answer
        match list(argv):
            case ["docker", "ps", *_]:
                return 0, "\n".join(c["Id"] for c in self.containers), ""
            case ["docker", "inspect", *_]:
                return 0, json.dumps(self.containers), ""
            case ["docker", "logs", *_, container]:
                return 0, self.logs[container], ""
            case ["docker", "compose", "version", "--short"]:
                return 0, "2.26.1\n", ""
            case ["docker", "compose", "--project-directory", *_]:
                return 0, json.dumps({"services": self.config}), self.warning
        return 0, "", ""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(processes, "ROOT", tmp_path / "proc")
    (tmp_path / "proc").mkdir()
    return Machine()


@pytest.fixture
def host(host: Releases, tmp_path: Path) -> Releases:
    """The same host with this file's machine, and the proxy's log."""
    (tmp_path / "a.log").touch()
    return host


@pytest.fixture
def serving(host: Releases, machine: Machine) -> Releases:
    """A host with one release that serves, as deploy.yml leaves it."""
    known: Record = {"id": RELEASE, "app": "app", "agent_name": NAME, "api_port": 18101, "hash": "00000001"}
    host.stage(known, {"compose.yml": "# c", "agent-worker.env": "A='1'\n"})
    directory = str(host.directory(RELEASE))
    log = "\n".join([requested("AJ_old", -9000), REGISTERED, requested("AJ_1", -50)])
    machine.start(PROJECT, "agent-worker", log, directory, **ENV, LIVEKIT_DEPLOY_INSTANCE=f"web1/{RELEASE}")
    machine.start(
        PROJECT,
        "fastapi",
        f"{FIRST_WORDS}\n{created(-40)}",
        directory,
        **ENV,
        LIVEKIT_DEPLOY_INSTANCE=f"web1/{RELEASE}",
    )
    machine.config = {
        name: {"environment": {**ENV, "LIVEKIT_API_SECRET": SECRET}} for name in ("agent-worker", "fastapi")
    }
    switch.serve(host, RELEASE)
    return host


def gathered(host: Releases, tmp_path: Path, **options: Any) -> dict[str, Any]:
    chosen = {"agent_name": NAME, "since": NOW - 600, "access_log": str(tmp_path / "a.log"), **options}
    return evidence.gather(host, evidence.Options(**chosen))


def test_good_host_leaves_nothing_unread(serving: Releases, tmp_path: Path) -> None:
    found = gathered(serving, tmp_path)
    assert (found["unread"], found["drift"], found["gate"], found["release"]["id"]) == ([], [], "open", RELEASE)
    assert found["written"] == {"agent-worker": ENV, "fastapi": ENV}
    assert found["api"]["agent_names"] == {NAME: 1}


def test_worker_has_all_job_requests_of_the_time_looked_at(serving: Releases, tmp_path: Path) -> None:
    (found,) = gathered(serving, tmp_path)["workers"]
    assert ([r["job_id"] for r in found["requests"]], found["worker_id"]) == (["AJ_1"], "AW_1")


def test_no_other_variable_of_the_files_is_passed_on(serving: Releases, tmp_path: Path) -> None:
    assert SECRET not in json.dumps(gathered(serving, tmp_path))


# --- each fault changes what is told of it ----------------------------------------------------------------------------


def close_gate(host: Releases, _machine: Machine) -> None:
    host.set_gate(RELEASE, "closed\n")


def edit(host: Releases, machine: Machine) -> None:
    """As seen on a host after `docker compose restart`: the files say the new name, the container has the old one."""
    (host.directory(RELEASE) / "agent-worker.env").write_text("LIVEKIT_AGENT_NAME='new'\n")
    machine.config["agent-worker"] = {"environment": {**ENV, "LIVEKIT_AGENT_NAME": "new"}}


def stop_api(_host: Releases, machine: Machine) -> None:
    machine.containers[1]["State"]["Running"] = False


def dispatch_elsewhere(_host: Releases, machine: Machine) -> None:
    failed = stamped(
        -20, event="dispatch_failed", error="livekit_refuses", message="LiveKit refuses (HTTP 401)", room="r"
    )
    machine.logs[f"{PROJECT}-fastapi-id"] = "\n".join(
        [created(-9000), created(-40, "other"), created(-30, "other"), failed]
    )


FAULTS = [
    pytest.param(close_gate, "gate", "closed", id="gate closed"),
    pytest.param(close_gate, "drift", ["the standby gate is closed"], id="gate closed is drift"),
    pytest.param(edit, "written/agent-worker/LIVEKIT_AGENT_NAME", "new", id="edited: what is written"),
    pytest.param(edit, "services/agent-worker/env/LIVEKIT_AGENT_NAME", NAME, id="edited: what the container has"),
    pytest.param(stop_api, "api/running", False, id="API stopped"),
    pytest.param(stop_api, "drift", ["fastapi is not running"], id="API stopped is drift"),
    pytest.param(dispatch_elsewhere, "api/agent_names", {"other": 2}, id="another name"),
    pytest.param(dispatch_elsewhere, "api/failed", 1, id="failed"),
    pytest.param(dispatch_elsewhere, "api/last_failure", "LiveKit refuses (HTTP 401)", id="why it failed"),
]


@pytest.mark.parametrize(("plant", "where", "expected"), FAULTS)
def test_fault_is_told(
    serving: Releases,
    machine: Machine,
    tmp_path: Path,
    plant: Callable[[Releases, Machine], None],
    where: str,
    expected: Any,
) -> None:
    plant(serving, machine)
    found: Any = gathered(serving, tmp_path)
    for key in where.split("/"):
        found = found[key]
    assert found == expected


# --- what cannot be read ----------------------------------------------------------------------------------------------


def no_engine(_host: Releases, machine: Machine) -> None:
    machine.fails = {"docker": (1, "", "Cannot connect to the Docker daemon")}


def no_docker(_host: Releases, machine: Machine) -> None:
    machine.fails = {"docker": (127, "", "docker: No such file or directory")}


def broken_files(_host: Releases, machine: Machine) -> None:
    machine.fails = {" config ": (15, "", f'line 1: unexpected character "x" in variable name "{SECRET}"')}


def broken_record(host: Releases, _machine: Machine) -> None:
    (host.directory(RELEASE) / "release.json").write_text("{broken")


def no_log(_host: Releases, machine: Machine) -> None:
    machine.fails = {"logs --timestamps": (1, "", "configured logging driver does not support reading")}


def other_log(_host: Releases, machine: Machine) -> None:
    machine.logs[f"{PROJECT}-fastapi-id"] = "2026-01-01T00:00:00.5Z INFO: Uvicorn running"


def new_container(_host: Releases, machine: Machine) -> None:
    machine.containers[1]["Created"] = iso(NOW - 60)


def rotated(_host: Releases, machine: Machine) -> None:
    """Its first words are gone."""
    machine.logs[f"{PROJECT}-fastapi-id"] = created(-40)


def shell_variables(_host: Releases, machine: Machine) -> None:
    machine.warning = 'level=warning msg="The \\"NAME_IN_SHELL\\" variable is not set. Defaulting to a blank string."'


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        pytest.param(
            no_engine, "the containers could not be read: Cannot connect to the Docker daemon", id="Engine down"
        ),
        pytest.param(no_docker, "the containers could not be read: docker: No such file", id="no Docker"),
        pytest.param(
            broken_files,
            "what the release's files say now could not be read: `docker compose config` in",
            id="env file",
        ),
        pytest.param(broken_record, "the release record could not be read: found: ", id="record"),
        pytest.param(
            no_log,
            "the log of the API (container " + PROJECT + "-fastapi-1) could not be read: configured",
            id="API log",
        ),
        pytest.param(
            other_log,
            "tells of a dispatch: it made none, or api_log_pattern has to say how it does",
            id="API log's format",
        ),
        pytest.param(new_container, "begins at " + iso(NOW - 60) + ", and not at ", id="API container is new"),
        pytest.param(rotated, "begins at " + iso(NOW - 40) + ", and not at ", id="API log was rotated"),
        pytest.param(
            shell_variables,
            "they use variables of the shell that started the project: NAME_IN_SHELL",
            id="shell variables",
        ),
    ],
)
def test_what_cannot_be_read_is_a_sentence(
    serving: Releases, machine: Machine, tmp_path: Path, plant: Callable[[Releases, Machine], None], said: str
) -> None:
    plant(serving, machine)
    found = gathered(serving, tmp_path)
    assert [sentence for sentence in found["unread"] if said in sentence], found["unread"]
    assert SECRET not in json.dumps(found)


def test_engine_that_is_down_leaves_what_the_files_say(serving: Releases, machine: Machine, tmp_path: Path) -> None:
    machine.fails = {"docker ps": (1, "", "Cannot connect to the Docker daemon")}
    found = gathered(serving, tmp_path)
    assert (found["release"]["id"], found["gate"], found["written"]["fastapi"], found["workers"]) == (
        RELEASE,
        "open",
        ENV,
        [],
    )
    assert len([sentence for sentence in found["unread"] if "Cannot connect" in sentence]) == 1


def test_unknown_log_format_is_no_api_without_dispatches(serving: Releases, machine: Machine, tmp_path: Path) -> None:
    other_log(serving, machine)
    assert gathered(serving, tmp_path)["api"]["read"] is False


def test_api_log_of_another_format_is_read_by_a_pattern(serving: Releases, machine: Machine, tmp_path: Path) -> None:
    lines = [f"{iso(NOW - 9)} sent agent=a room=r9", f"{iso(NOW - 8)} agent=a failed: quota"]
    machine.logs[f"{PROJECT}-fastapi-id"] = "\n".join(lines)
    pattern = r"agent=(?P<agent_name>\S+) (?:room=(?P<room>\S+)|failed: (?P<error>.+))"
    found = gathered(serving, tmp_path, api_log_pattern=pattern)["api"]
    assert (found["agent_names"], found["failed"], found["last_failure"], found["dispatches"][0]["room"]) == (
        {"a": 1},
        1,
        "quota",
        "r9",
    )


@pytest.mark.parametrize("option", ["api_log_pattern", "access_log_pattern"])
@pytest.mark.parametrize("pattern", ["(unclosed", "no groups"])
def test_wrong_pattern_is_a_sentence_too(serving: Releases, tmp_path: Path, option: str, pattern: str) -> None:
    (tmp_path / "a.log").write_text("no groups\n")
    found = gathered(serving, tmp_path, **{option: pattern})
    assert found["unread"]
    assert found["api" if "api" in option else "proxy"]["read"] is False


def test_access_log_that_began_after_the_time_looked_at_says_so(serving: Releases, tmp_path: Path) -> None:
    site = tmp_path / "site.conf"
    site.touch()
    assert "the site was written at" in str(gathered(serving, tmp_path, site=str(site))["unread"])


# --- without a release of ours ----------------------------------------------------------------------------------------


@pytest.fixture
def hand_made(host: Releases, machine: Machine) -> Releases:
    """A host where somebody started API and worker with compose."""
    machine.start("support", "agent", REGISTERED, "/srv/support", **ENV)
    machine.start("support", "web", created(-40, "other"), "/srv/support", AGENT_NAME="other", LIVEKIT_URL="ws://x")
    machine.start("ci", "runner", "", "/srv/ci", AGENT_NAME="build-7")
    machine.config = {"agent": {"environment": {**ENV, "LIVEKIT_AGENT_NAME": "do$$llar"}}, "web": {"environment": None}}
    return host


def test_hand_made_deployment_is_told_too(hand_made: Releases, tmp_path: Path) -> None:
    found = gathered(hand_made, tmp_path)
    assert (found["release"]["id"], found["written"]) == ("unmanaged", {})
    assert [(w["container"], w["release"]) for w in found["workers"]] == [("support-agent-1", "unmanaged")]
    assert {key: found["api"][key] for key in ("container", "service", "agent_names", "url")} == {
        "container": "support-web-1",
        "service": "web",
        "agent_names": {"other": 1},
        "url": "ws://x",
    }


def test_projects_tell_theirs_and_what_their_files_say(hand_made: Releases, tmp_path: Path) -> None:
    ci, support = gathered(hand_made, tmp_path)["projects"]
    expected = {
        "name": "support",
        "directory": "/srv/support",
        "services": ["agent", "web"],
        "ours": False,
        "has_worker": True,
    }
    assert {key: support[key] for key in expected} == expected
    assert (support["agent_names"], support["written"]["agent"]["LIVEKIT_AGENT_NAME"]) == (["other", NAME], "do$llar")
    assert (ci["has_worker"], ci["agent_names"], ci["written"]) == (False, [], {})


def test_release_of_ours_is_a_project_of_ours(serving: Releases, tmp_path: Path) -> None:
    assert [(p["name"], p["ours"], p["written"]) for p in gathered(serving, tmp_path)["projects"]] == [
        (PROJECT, True, {})
    ]


def test_api_of_another_application_is_not_taken_for_ours(host: Releases, machine: Machine, tmp_path: Path) -> None:
    machine.start("shop-1", "fastapi", created(-40), "/opt/shop/releases/1", **ENV, LIVEKIT_DEPLOY_INSTANCE="web1/1")
    assert gathered(host, tmp_path)["api"]["container"] is None


def test_api_is_the_one_of_the_name_where_several_may_be(hand_made: Releases, machine: Machine, tmp_path: Path) -> None:
    machine.start("zoo", "web", "", "/srv/zoo", **ENV)
    assert gathered(hand_made, tmp_path)["api"]["container"] == "zoo-web-1"


# --- small things -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "since", "seconds_back"),
    [
        pytest.param(None, None, 3600, id="no release"),
        pytest.param({"served_at": "2026-01-01T00:00:00Z"}, None, 3600, id="served for long"),
        pytest.param({"served_at": "NOW"}, None, 60, id="served for a minute"),
        pytest.param({"served_at": "soon"}, None, 3600, id="a record that makes no sense"),
        pytest.param(None, 7200, 7200, id="told"),
    ],
)
def test_time_looked_at_begins_with_the_release(
    record: Record | None, since: float | None, seconds_back: float
) -> None:
    if record and record["served_at"] == "NOW":
        record = {"served_at": iso(time.time() - 60)}
    found = evidence.window(record, time.time() - since if since else None, 3600)
    assert found.until - found.since == pytest.approx(seconds_back, abs=2)


def test_newest_dispatches_are_kept_and_all_are_counted() -> None:
    log = api_log.Dispatches(NOW - 600)
    for number in range(300):
        log.take(created(-60, room=f"r{number}"))
    found = log.result()
    assert (found["agent_names"], len(found["dispatches"]), found["dispatches"][-1]["room"]) == (
        {NAME: 300},
        200,
        "r299",
    )


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("docker --version", "Docker"),
        ("docker compose version", "Docker Compose 2.24 or newer, not 2.25"),
        ("nginx -v", "nginx"),
    ],
)
def test_program_that_is_not_there_is_lacking(machine: Machine, tmp_path: Path, missing: str, expected: str) -> None:
    assert refusal.missing_on_host(machine.run, str(tmp_path), str(tmp_path / "x"), ask_engine=False) == []
    machine.fails = {missing: (127, "", "not found")}
    assert refusal.missing_on_host(machine.run, str(tmp_path), str(tmp_path / "x"), ask_engine=False) == [expected]


def test_directory_that_is_not_there_is_lacking(machine: Machine, tmp_path: Path) -> None:
    assert refusal.missing_on_host(machine.run, str(tmp_path / "none"), str(tmp_path / "x"), ask_engine=False) == [
        str(tmp_path / "none")
    ]


def test_secret_in_a_failure_of_the_api_does_not_leave_the_host() -> None:
    line = json.dumps({"event": "dispatch_failed", "message": "refused: sk-proj-4711abcd"})
    api: dict[str, Any] = {
        "Id": "0a",
        "Name": "/api",
        "Created": "2026-01-01T00:00:00Z",
        "State": {"Running": True},
        "Config": {"Env": ["LIVEKIT_API_SECRET=sk-proj-4711abcd"], "Labels": {}},
    }
    found = api_log.api_evidence(
        Told(lambda _argv: (0, f"2026-01-01T00:00:01Z {line}", "")), api, 0.0, None, notes.Notes()
    )
    assert found["last_failure"] == "refused: ***"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work as another user")
def test_project_of_a_user_is_read_as_that_user(tmp_path: Path) -> None:
    os.chown(tmp_path, 54321, 54321)
    asked: list[Any] = []

    def run(argv: Any) -> tuple[int, str, str]:
        asked.append(argv)
        return 0, '{"services": {}}', ""

    evidence.written_variables(run, str(tmp_path), ["compose.yml"])
    assert (asked[0][0], "--reuid=54321" in asked[0], "docker" in asked[0]) == ("setpriv", True, True)


def test_project_that_everybody_can_write_is_not_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(docker.EngineError, match="written by everybody"):
        evidence.written_variables(lambda _argv: (0, "{}", ""), str(tmp_path), ["compose.yml"])


def test_worker_whose_log_was_rotated_is_not_said_to_be_read_whole(
    serving: Releases, machine: Machine, tmp_path: Path
) -> None:
    machine.logs[f"{PROJECT}-agent-worker-id"] = "\n".join([requested("AJ_1", -50), REGISTERED.replace("-500", "-40")])
    found = gathered(serving, tmp_path)
    (worker,) = found["workers"]
    assert worker["reach"]["begins"] == pytest.approx(NOW - 50, abs=1)
    assert any(text.startswith(f"the log of {PROJECT}-agent-worker-1 begins at") for text in found["unread"])


def test_log_of_the_api_is_held_in_bounded_memory() -> None:
    log = api_log.Dispatches(NOW - 600)
    for number in range(3000):
        log.take(created(-60, name=f"name-{number}"))
    assert (len(log.names), len(log.created)) == (api_log.NAMES_KEPT, api_log.DISPATCHES_KEPT)
