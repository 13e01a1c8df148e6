# SPDX-License-Identifier: Apache-2.0
"""What the status of a fleet says of each host, and that 30 hosts fit one screen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.fleet import status, status_text
from ansible.module_utils.livekit_deploy.play.run import STATUS, HostRun, Runs

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
ID, OLD = "20270112T080000Z-1a2b3c4d", "20270110T091500Z-9f8e7d6c"


def worker(release: str = ID, **changes: Any) -> dict[str, Any]:
    return {
        "agent_name": "support-a",
        "release": release,
        "container": f"sidekick-{release.lower()}-agent-worker-1",
        "worker_id": "AW_current00001" if release == ID else "AW_older0000001",
        "registered_since": "2027-01-15T04:59:59.178527+00:00",
        "running": True,
        "connected": True,
        "active_jobs": 2,
        "load": 0.25,
        "sdk_version": "1.8.9",
        **changes,
    }


def evidence(*workers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    record = {"id": ID, "served_at": "2027-01-12T08:01:00Z"}
    states = {OLD: "draining", ID: "serving"}
    return {
        "release": record,
        "states": states,
        "drift": [],
        "leftovers": [],
        "missing": [],
        "workers": list(workers or [worker()]),
        **changes,
    }


def host(found: dict[str, Any] | None = None, **changes: Any) -> Any:
    return {"agent_name": "support-a", "pool": "a", "evidence": evidence() if found is None else found, **changes}


def remembered(**changes: Any) -> Any:
    said = {
        "verdict": "exclusive",
        "ok": True,
        "reason": "all 8 checks hold",
        "at": "2027-01-15T07:48:00Z",
        "playbook": "verify",
    }
    return {**said, "agent_name": "support-a", "release": ID, **changes}


def row(given: Any, verdict: Any = None) -> Any:
    return status.status_row(given, verdict if verdict is not None else remembered(), NOW)


def notes(given: dict[str, Any], verdict: dict[str, Any] | None = None) -> list[str]:
    return [note["text"] for note in row(given, verdict)["notes"]]


def table(given: Any = None, verdict: Any = None) -> list[str]:
    known = {"a": verdict if verdict is not None else remembered()}
    return status_text.status_lines(status.status_document({"a": given or host()}, known, NOW))


def test_a_host_that_serves_is_one_line() -> None:
    assert table() == [
        "  host  agent name  pool  release        worker id        since  jobs  load  sdk    verdict",
        "  ----  ----------  ----  -------------  ---------------  -----  ----  ----  -----  -------------",
        "  a     support-a   -     20270112T0800  AW_current00001  3h     2     0.25  1.8.9  exclusive 12m",
        "",
        "1 host: 1 serving; 2 jobs",
    ]


def test_the_row_has_what_the_line_has_and_more() -> None:
    found = row(host())
    assert (found["state"], found["release"], found["served_since"]) == ("serving", ID, "2027-01-12T08:01:00Z")
    assert (found["worker_id"], found["worker_ids"], found["jobs"], found["load"]) == (
        "AW_current00001",
        ["AW_current00001"],
        2,
        0.25,
    )
    assert (found["verdict"]["age_seconds"], found["notes"]) == (720.0, [])


STATES = [
    (
        host({}, unread="ssh: connect to host 10.0.0.1 port 22: No route to host", unreachable=True),
        "unreachable",
        "No route to host",
    ),
    (host({}, unread="sudo: a password is required"), "unread", "a password is required"),
    (host({}), "unread", ""),
    (host(evidence(release=None, missing=["Docker", "nginx"])), "not provisioned", "Docker, nginx"),
    (host(evidence(release=None, states={})), "no release", ""),
]


@pytest.mark.parametrize(("given", "state", "words"), STATES)
def test_a_host_that_serves_nothing_says_why_in_its_line(given: dict[str, Any], state: str, words: str) -> None:
    assert row(given)["state"] == state
    line = table(given)[2]
    assert f"  {state}" in line
    assert words in line
    assert line.endswith("exclusive 12m")


def test_a_reason_is_not_cut_while_there_is_room() -> None:
    reason = "not provisioned: Docker, Docker Compose 2, nginx, /opt/sidekick, /etc/nginx/x"
    found = evidence(release=None, missing=reason.removeprefix("not provisioned: ").split(", "))
    (line,) = status_text.status_lines(status.status_document({"a": host(found)}, {}, NOW))[2:3]
    assert reason in line
    assert (
        len(status_text.status_lines(status.status_document({"a": host(found, agent_name="n" * 200)}, {}, NOW))[2])
        <= 120
    )


NOTES = [
    (evidence(worker(worker_id=None)), "the worker's log has no registration"),
    (evidence(worker(connected=False)), "the worker lost its connection"),
    (evidence(worker(agent_name="support")), "the worker registered as support, the inventory says support-a"),
    (evidence(worker(agent_name=None, answered_name="support")), "the worker registered as support"),
    (evidence(worker(draining=True)), "the serving worker drains"),
    (evidence(worker(full=True)), "the worker is full"),
    (evidence(worker(restarts=3)), "the worker's container was restarted 3 times"),
    (evidence(worker(running=False)), "no worker of the release runs"),
    (evidence(drift=["compose.yml was edited by hand"]), "drift: compose.yml was edited by hand"),
    (evidence(leftovers=[OLD], states={OLD: "staged", ID: "serving"}), "release 20270110T0915 was left unfinished"),
    (
        evidence(worker(), worker(OLD, active_jobs=3)),
        "release 20270110T0915 still drains: 3 jobs left (AW_older0000001)",
    ),
    (
        evidence(worker(), worker(OLD, active_jobs=None)),
        "release 20270110T0915 still drains: its jobs could not be read",
    ),
    (
        evidence(worker(), worker("other", container="c-1")),
        "another worker on the host has the name: c-1 (AW_older0000001)",
    ),
]


@pytest.mark.parametrize(("found", "words"), NOTES)
def test_what_is_wrong_with_a_host_is_marked_and_told(found: dict[str, Any], words: str) -> None:
    (note,) = row(host(found))["notes"]
    assert note["text"].startswith(words)
    lines = table(host(found))
    assert lines[2].startswith("* a ")
    assert lines[-1].startswith(f"* a: {words}")


def test_a_stopped_worker_that_drift_tells_already_is_told_once() -> None:
    found = evidence(worker(running=False), drift=["agent-worker is not running"])
    assert notes(host(found)) == ["drift: agent-worker is not running"]


@pytest.mark.parametrize("other", [worker("other", agent_name="else"), worker("other", running=False)])
def test_a_worker_of_somebody_else_with_another_name_or_stopped_is_no_note(other: dict[str, Any]) -> None:
    assert row(host(evidence(worker(), other)))["notes"] == []


def test_jobs_of_a_draining_worker_are_shown_beside_those_of_the_serving_one() -> None:
    found = evidence(worker(), worker(OLD, active_jobs=3))
    assert "  2+3 " in table(host(found))[2]
    assert row(host(found))["worker_ids"] == ["AW_current00001", "AW_older0000001"]


VERDICTS = [
    (remembered(ok=False, verdict="foreign", reason="AW_x has it"), "the last verify said foreign: AW_x has it"),
    (remembered(agent_name="support"), "the last verdict is about the name support, not support-a"),
    (remembered(release=OLD), "the last verdict is about release 20270110T0915, not the one that serves"),
]


@pytest.mark.parametrize(("verdict", "note"), VERDICTS)
def test_a_verdict_that_is_bad_or_about_something_else_is_told(verdict: dict[str, Any], note: str) -> None:
    assert notes(host(), verdict) == [note]


def test_a_host_without_a_verdict_has_none() -> None:
    assert row(host(), {})["verdict"] is None
    assert table(verdict={})[2].endswith("1.8.9  -")


def test_what_is_true_of_many_hosts_is_told_once() -> None:
    hosts = {name: host(evidence(drift=["x"]), pool=name) for name in "abcde"}
    assert status_text.status_lines(status.status_document(hosts, {}, NOW))[-1] == "* a, b and 3 more: drift: x"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.0, "0s"), (59.9, "59s"), (60.0, "1m"), (3599.0, "59m"), (7300.0, "2h"), (86400.0 * 9.5, "9d")],
)
def test_a_duration_is_told_in_its_largest_unit(seconds: float | None, text: str) -> None:
    assert status_text.duration(seconds) == text


@pytest.mark.parametrize(
    ("at", "age"),
    [
        ("2027-01-15T07:59:00Z", 60.0),
        ("2027-01-15T07:59:00.178527123Z", 59.8),
        ("2027-01-15T09:59:00+02:00", 60.0),
        ("2027-01-15T07:59:00", 60.0),
        ("2027-01-15T08:00:09Z", 0.0),  # a clock that is ahead
        ("no time", None),
        (None, None),
    ],
)
def test_an_age_is_read_from_any_time_that_is_logged(at: Any, age: float | None) -> None:
    assert status.age_seconds(at, NOW) == age


@pytest.mark.parametrize(
    ("texts", "cut"),
    [
        (["short", "exactly-9"], ["short", "exactly-9"]),
        (["voice-agent-17", "voice-agent-18"], ["vo…ent-17", "vo…ent-18"]),
        (["agents-french-live-eu", "agents-german-live-eu"], ["agents-f…", "agents-g…"]),
    ],
)
def test_a_long_name_is_cut_where_names_can_still_be_told_apart(texts: list[str], cut: list[str]) -> None:
    assert status_text.distinct(texts, 9) == cut


def test_workers_that_drain_on_many_hosts_are_told_once() -> None:
    found = evidence(worker(), worker(OLD, active_jobs=3))
    lines = status_text.status_lines(status.status_document({name: host(found, pool=name) for name in "ab"}, {}, NOW))
    assert lines[-2] == "2 hosts: 2 serving; 10 jobs"
    assert lines[-1] == "* a, b: workers of older releases still drain, 6 jobs left (the second figure under jobs)"


def test_what_presses_most_is_told_first() -> None:
    hosts = {"a": host(evidence(worker(), worker(OLD), drift=["x"])), "b": host(evidence(worker(full=True)))}
    starts = [line.split()[1] for line in status_text.status_lines(status.status_document(hosts, {}, NOW))[-3:]]
    assert starts == ["b:", "a:", "a:"]


# --- 30 hosts on one screen ------------------------------------------------------------------------------------------


def long_named_fleet() -> tuple[dict[str, Any], dict[str, Any]]:
    """30 hosts with long names; about every third has something wrong, each in words of its own."""
    hosts, verdicts = {}, {}
    for number in range(1, 31):
        name, agent = (
            f"voice-agents-eu-central-1-production-{number:02d}",
            f"customer-support-german-production-{number:02d}",
        )
        mine = worker(agent_name=agent, active_jobs=number)
        found = evidence(mine)
        if number % 3 == 0:
            found = evidence(
                mine,
                worker(OLD, agent_name=agent, worker_id=f"AW_old{number:09d}"),
                drift=[f"file-{number} was edited by hand"],
            )
        hosts[name] = host(found, agent_name=agent, pool="production-eu-central-pool" if number % 2 else name)
        verdicts[name] = remembered(
            agent_name=agent, verdict="inconclusive", ok=number % 5 > 0, reason=f"{'long reason ' * 20}{number}"
        )
    for number, (given, _, _) in enumerate(STATES):
        hosts[f"voice-agents-eu-central-1-production-{number + 7:02d}"].update(
            {**given, "agent_name": f"customer-support-german-{number}"}
        )
    return hosts, verdicts


@pytest.fixture
def screen() -> list[str]:
    return status_text.status_lines(status.status_document(*long_named_fleet(), NOW))


def test_30_hosts_with_long_names_and_trouble_fit_one_screen(screen: list[str]) -> None:
    assert max(map(len, screen)) <= 120
    assert len(screen) + 4 <= 45


def test_each_of_30_hosts_has_a_line_of_its_own_that_can_be_told_apart(screen: list[str]) -> None:
    assert len({tuple(line[2:].split()[:2]) for line in screen[2:32]}) == 30


def test_no_id_is_shortened(screen: list[str]) -> None:
    assert sum("AW_current00001" in line for line in screen[2:32]) == 25


def test_notes_that_do_not_fit_are_counted(screen: list[str]) -> None:
    assert screen[-1].endswith("more: see the report")


def test_many_more_hosts_still_have_some_notes() -> None:
    hosts = {f"h{number}": host(evidence(drift=[f"x{number}"])) for number in range(60)}
    lines = status_text.status_lines(status.status_document(hosts, {}, NOW))
    assert lines[-4:] == ["* h0: drift: x0", "* h1: drift: x1", "* h2: drift: x2", "  and 57 more: see the report"]


def test_a_document_is_json_and_gives_the_same_table_again(screen: list[str]) -> None:
    document = json.loads(json.dumps(status.status_document(*long_named_fleet(), NOW)))
    assert status_text.status_lines(document) == screen


# --- what was read ---------------------------------------------------------------------------------------------------


def test_the_fleet_is_what_the_inventory_says_and_what_was_read() -> None:
    read: dict[str, Any] = {"workers": [], "release": None}
    variables = {"livekit_agent_name": "support-a", "livekit_agent_pool": "demo", STATUS: read}
    assert status.fleet(Runs({"a": variables}), ["a"]) == {
        "a": {"agent_name": "support-a", "pool": "demo", "evidence": read}
    }


UNREACHABLE = {
    (
        'Task failed: Data could not be sent to "h". '
        "Make sure this host can be reached over ssh: ssh: connect to h: No route to host"
    ),
    (
        "Task failed: Failed to connect to the host via ssh: Warning: Permanently added 'h'.\r\n"
        "ssh: connect to h: No route to host"
    ),
}


@pytest.mark.parametrize("message", sorted(UNREACHABLE))
def test_a_host_that_was_not_reached_has_what_ssh_said(message: str) -> None:
    found = status.fleet(Runs({"a": {STATUS: {"unreachable": True, "msg": message}}}), ["a"])["a"]
    assert (found["unreachable"], found["unread"]) == (True, "ssh: connect to h: No route to host")


@pytest.mark.parametrize(
    ("read", "reason"), [({"msg": "the Engine refused\nmore"}, "the Engine refused"), (None, "it was not asked")]
)
def test_a_host_that_could_not_be_read_has_the_reason(read: Any, reason: str) -> None:
    found = status.fleet(Runs({"a": {STATUS: read}}), ["a"])["a"]
    assert (found["unreachable"], found["unread"], found["pool"]) == (False, reason, "a")


def test_a_variable_that_cannot_be_made_is_no_reason_to_stop() -> None:
    class Broken(dict[str, Any]):
        def get(self, *name: Any) -> Any:
            raise KeyError(*name)

    assert status.text_of(HostRun("a", Broken()), "livekit_agent_name") == ""
