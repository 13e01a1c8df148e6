# SPDX-License-Identifier: Apache-2.0
"""The checks and verdicts: one clean pool, and each way in which it can be not clean."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.proof.checks.check import CheckRow
from ansible.module_utils.livekit_deploy.proof.judge import judge

RELEASE = "20260102T030405Z-0a1b2c3d"
NAME = "support"
ENV = {"AGENT_NAME": NAME, "LIVEKIT_AGENT_NAME": NAME}
CHECKS = ["environment", "name_in_effect", "registered", "directed_probe", "preview", "nobody", "drift", "routing"]
World = dict[str, Any]


def worker(host: str) -> dict[str, Any]:
    requests = [
        {"job_id": f"AJ_{host}", "dispatch_id": "AD_1", "room": f"probe-{host}", "time": None},
        {"job_id": f"AJ_{host}_preview", "dispatch_id": "AD_2", "room": f"preview-{host}", "time": None},
    ]
    known = {"container": f"sidekick-{RELEASE}-agent-worker-1", "container_id": f"c-{host}", "release": RELEASE}
    state = {"running": True, "connected": True, "reconnects": 0, "draining": False, "load": 0.0, "active_jobs": 0}
    identity = {"agent_name": NAME, "worker_id": f"AW_{host}", "registered_since": "2026-01-02T03:04:05Z"}
    project = {"project": f"sidekick-{RELEASE}", "instance": f"{host}/{RELEASE}", "env": dict(ENV)}
    return {**known, **state, **identity, **project, "requests": requests, "log_matches": {"tool call": 0.4}}


def host(name: str) -> dict[str, Any]:
    readings = [{"time": 100.0, "workers": [worker(name)]}, {"time": 110.0, "workers": [worker(name)]}]
    readings[0]["workers"][0]["requests"] = []  # type: ignore[index]
    readings[1]["workers"][0]["requests"].append({"job_id": "AJ_through", "room": "through"})  # type: ignore[index]
    services = {service: {"running": True, "env": dict(ENV)} for service in ("fastapi", "agent-worker")}
    return {
        "agent_name": NAME,
        "pool": "both",
        "release": RELEASE,
        "readings": readings,
        "services": services,
        "drift": [],
        "own_ids": [f"AW_{name}"],
        "log_patterns": {"tool call": 5.0},
    }


def probes(name: str) -> dict[str, Any]:
    taken = {"outcome": "taken", "agent_name": NAME, "worker_id": f"AW_{name}", "latency_seconds": 0.21, "reason": "ok"}
    directed = {**taken, "job_id": f"AJ_{name}", "room": f"probe-{name}", "status": "JS_SUCCESS"}
    preview = {**taken, "job_id": f"AJ_{name}_preview", "room": f"preview-{name}", "status": "JS_RUNNING"}
    return {f"{name}/directed": directed, f"{name}/preview": {**preview, "in_room": True}}


@pytest.fixture
def world() -> World:
    answers = {**probes("a"), **probes("b"), "nobody": {"outcome": "nobody", "reason": "nobody within 10 s"}}
    answers[f"{NAME}/through"] = {"outcome": "nobody", "seconds": 10.0, "room": "through", "agent_name": NAME}
    return {"hosts": {"a": host("a"), "b": host("b")}, "probes": answers, "preview": True}


def failed_checks(world: World, name: str = "a") -> list[str]:
    """The checks that failed, but for ``routing``: what it makes of the others has tests of its own."""
    checks = judge(**world)["report"][name]["checks"]
    return [check["name"] for check in checks if not check["ok"] and check["name"] != "routing"]


def verdict_of(world: World, name: str = "a") -> str:
    return str(judge(**world)["report"][name]["verdict"])


def check(world: World, wanted: str, name: str = "a") -> CheckRow:
    checks = judge(**world)["report"][name]["checks"]
    return next(entry for entry in checks if entry["name"] == wanted)


def put(world: World, path: str, value: Any) -> None:
    """Set one value of the world; path as a/b/0/c with host a's parts first."""
    *way, last = path.split("|")
    place: Any = world
    for key in way:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[int(last) if isinstance(place, list) else last] = value


R1, R2 = "hosts|a|readings|0|workers|0|", "hosts|a|readings|1|workers|0|"
DIRECTED, PREVIEW = "probes|a/directed|", "probes|a/preview|"

SINGLE_FAULTS = [
    ("hosts|a|services|fastapi|env|AGENT_NAME", "old", "environment", "fastapi has AGENT_NAME 'old'"),
    ("hosts|a|services|agent-worker|env|LIVEKIT_AGENT_NAME", None, "environment", "agent-worker has no LIVEKIT_AGENT"),
    ("hosts|a|services|fastapi|running", False, "environment", "fastapi is not running"),
    ("hosts|a|services|agent-worker", None, "environment", "agent-worker was not read"),
    (R2 + "agent_name", "hard-coded", "name_in_effect", "registered as 'hard-coded'"),
    ("hosts|a|readings|1|time", 101.9, "registered", "readings only 1.9 s apart"),
    ("hosts|a|readings|1|time", None, "registered", "a reading without a time"),
    (R1 + "worker_id", "AW_before", "registered", "worker id AW_before at the first and AW_a at the second"),
    (R1 + "worker_id", None, "registered", "worker id unknown at the first"),
    (R1 + "container_id", "c-other", "registered", "another container at the second reading"),
    (R1 + "running", False, "registered", "0 serving workers at the first reading"),
    (R2 + "connected", False, "registered", "a connection failure after the latest registration of AW_a"),
    (DIRECTED + "worker_id", "AW_foreign", "directed_probe", "taken by AW_foreign; the worker here is AW_a, which was"),
    (DIRECTED + "worker_id", None, "directed_probe", "listed without a worker id"),
    (DIRECTED + "job_id", "AJ_other", "directed_probe", "AJ_other of AW_a is not in the log"),
    (DIRECTED + "outcome", "error", "directed_probe", "ok"),
    (DIRECTED + "outcome", "nobody", "directed_probe", "was asked (room probe-a is in its log) and did not answer"),
    ("probes|a/directed", None, "directed_probe", "no directed probe was sent"),
    (PREVIEW + "in_room", False, "preview", "ok"),
    (PREVIEW + "outcome", "error", "preview", "ok"),
    (PREVIEW + "outcome", "nobody", "preview", "ok"),
    (PREVIEW + "agent_name", "other", "preview", "the API dispatches to 'other'"),
    (PREVIEW + "worker_id", "AW_foreign", "preview", "was taken by AW_foreign, no worker of pool 'both'"),
    (PREVIEW + "room", "elsewhere", "preview", "no host of pool 'both' has room elsewhere in its log"),
    ("probes|a/preview", None, "preview", "no preview was sent"),
    (R2 + "log_matches", {}, "preview", "no line that matches 'tool call'"),
    (R2 + "log_matches", None, "preview", "no line that matches 'tool call'"),
    (R2 + "log_matches", {"tool call": 6.0}, "preview", "matches 'tool call' only 6 s after the request"),
    ("probes|nobody", {"outcome": "taken", "worker_id": "AW_x", "reason": "taken by AW_x"}, "nobody", "taken by AW_x"),
    ("probes|nobody", {"outcome": "error", "reason": "refused"}, "nobody", "refused"),
    ("probes|nobody", None, "nobody", "no such probe was sent"),
    ("hosts|a|drift", ["compose.yml was edited"], "drift", "compose.yml was edited"),
    ("hosts|a|drift", None, "drift", "the release was not read"),
    (R2 + "release", "20250101T000000Z-ffffffff", "drift", "the serving worker is of release 2025"),
]


def test_a_clean_pool_is_shared(world: World) -> None:
    answer = judge(**world)
    assert answer["ok"]
    assert answer["failed_hosts"] == []
    entry = answer["report"]["a"]
    assert (entry["verdict"], entry["worker_ids"], entry["reason"]) == ("shared", ["AW_a"], "all 8 checks hold")
    assert entry["probe"] == {"job_id": "AJ_a", "worker_id": "AW_a", "latency_seconds": 0.21}
    assert [c["name"] for c in entry["checks"]] == CHECKS
    assert all(isinstance(c[key], str) for c in entry["checks"] for key in ("found", "expected", "remedy"))


@pytest.mark.parametrize(("path", "value", "name", "found"), SINGLE_FAULTS)
def test_one_fault_fails_one_check_and_the_host(world: World, path: str, value: Any, name: str, found: str) -> None:
    put(world, path, value)
    answer = judge(**world)
    entry = check(world, name)
    assert failed_checks(world) == [name]
    assert found in entry["found"]
    assert entry["expected"]
    assert entry["remedy"]
    assert answer["report"]["a"]["reason"].startswith(f"{name}: ")
    assert not answer["ok"]
    assert "a" in answer["failed_hosts"]


def test_preview_without_media_names_the_ports_and_the_host_they_are_blocked_from(world: World) -> None:
    put(world, PREVIEW + "in_room", False)
    put(world, PREVIEW + "error_kind", "media")
    assert "A firewall between a and " in check(world, "preview")["remedy"]
    put(world, PREVIEW + "worker_id", world["hosts"]["b"]["own_ids"][0])
    assert "Let b reach the media ports of " in check(world, "preview")["remedy"]
    assert "rtc.udp_port" in check(world, "preview")["remedy"]


def test_every_check_is_shown_to_fail() -> None:
    assert {fault[2] for fault in SINGLE_FAULTS} == set(CHECKS) - {"routing"}


def test_a_fault_of_one_host_leaves_the_other_good(world: World) -> None:
    world["hosts"]["b"]["pool"] = "b"
    world["hosts"]["a"]["drift"] = ["compose.yml was edited"]
    assert judge(**world)["failed_hosts"] == ["a"]


ROUTES: list[tuple[str, str, Any, str]] = [
    ("a foreign worker took the probe", f"probes|{NAME}/through|outcome", "taken", "foreign"),
    ("no probe was passed on", f"probes|{NAME}/through", None, "inconclusive"),
    ("the search window was not over", f"probes|{NAME}/through|seconds", 5.0, "inconclusive"),
    ("the directed probe found nobody", DIRECTED + "outcome", "nobody", "unreachable"),
    ("the directed probe went astray", DIRECTED + "worker_id", "AW_foreign", "foreign"),
    ("the preview went astray", PREVIEW + "worker_id", "AW_foreign", "foreign"),
    ("a member could not be read", "hosts|b|readings", [], "inconclusive"),
    ("only the files were edited", "hosts|a|drift", ["compose.yml was edited"], "shared"),
]


@pytest.mark.parametrize(("path", "value", "expected"), [pytest.param(*rest, id=name) for name, *rest in ROUTES])
def test_verdict_is_about_routing(world: World, path: str, value: Any, expected: str) -> None:
    world["probes"][f"{NAME}/through"]["worker_id"] = "AW_foreign"
    put(world, path, value)
    assert verdict_of(world) == expected


def test_a_host_alone_in_its_pool_is_exclusive(world: World) -> None:
    world["hosts"] = {"a": world["hosts"]["a"]}
    assert verdict_of(world) == "exclusive"


def test_a_host_outside_the_run_lends_its_worker_ids_and_gets_no_row(world: World) -> None:
    world["hosts"]["b"] = {
        "agent_name": NAME,
        "pool": "both",
        "outside": True,
        "readable": True,
        "readings": [{"workers": []}],
    }
    world["hosts"]["b"]["own_ids"] = ["AW_b"]
    world["probes"]["a/preview"]["worker_id"] = "AW_b"
    answer = judge(**world)
    assert (answer["report"]["a"]["verdict"], list(answer["report"])) == ("shared", ["a"])


def test_a_pool_host_outside_the_run_that_cannot_be_read_leaves_it_open(world: World) -> None:
    world["hosts"]["b"] = {"agent_name": NAME, "pool": "both", "outside": True, "readable": False}
    assert verdict_of(world) == "inconclusive"


def test_several_nodes_leave_it_open(world: World) -> None:
    row = judge(**world, nodes=2)["report"]["a"]
    assert row["verdict"] == "inconclusive"
    assert "as on LiveKit Cloud: verification_accept_inconclusive=true" in row["checks"][-1]["remedy"]


@pytest.mark.parametrize(("accept", "failed"), [(False, ["a", "b"]), (True, [])])
def test_inconclusive_passes_only_when_the_run_accepts_it(world: World, accept: bool, failed: list[str]) -> None:
    assert judge(**world, nodes=2, accept_inconclusive=accept)["failed_hosts"] == failed


def test_foreign_never_passes(world: World) -> None:
    world["probes"][f"{NAME}/through"] |= {"outcome": "taken", "worker_id": "AW_foreign"}
    answer = judge(**world, accept_inconclusive=True)
    assert answer["failed_hosts"] == ["a", "b"]
    assert "AW_foreign" in check(world, "routing")["remedy"]


def test_a_preview_may_be_served_by_another_host_of_the_pool(world: World) -> None:
    asked = world["hosts"]["a"]["readings"][1]["workers"][0]["requests"]
    asked[:] = [request for request in asked if request["room"] != "preview-a"]
    world["probes"]["a/preview"]["worker_id"] = "AW_b"
    world["hosts"]["b"]["readings"][1]["workers"][0]["requests"].append({"job_id": "x", "room": "preview-a"})
    assert failed_checks(world) == []
    assert "logged by b" in check(world, "preview")["found"]


def test_a_preview_of_a_node_worker_is_known_by_its_job(world: World) -> None:
    """agents-js logs no room."""
    world["probes"]["a/preview"]["job_id"] = "AJ_preview"
    for request in world["hosts"]["a"]["readings"][1]["workers"][0]["requests"]:
        if request["room"] == "preview-a":
            request.update(room=None, job_id="AJ_preview")
    assert "logged by a" in check(world, "preview")["found"]


def test_a_preview_served_by_a_host_of_another_pool_fails(world: World) -> None:
    world["hosts"]["b"]["pool"] = "elsewhere"
    world["probes"]["a/preview"]["worker_id"] = "AW_b"
    assert failed_checks(world) == ["preview"]


def test_a_preview_that_was_not_asked_for_is_not_checked(world: World) -> None:
    del world["probes"]["a/preview"]
    world["preview"] = False
    assert check(world, "preview")["found"] == "not checked"
    assert failed_checks(world) == []


def test_a_draining_old_worker_does_not_count(world: World) -> None:
    old = {**worker("a"), "container_id": "c-old", "release": "20250101T000000Z-ffffffff", "draining": True}
    for reading in world["hosts"]["a"]["readings"]:
        reading["workers"].append(copy.deepcopy(old))
    assert failed_checks(world) == []


OTHER_NAME: dict[str, Any] = {"agent_name": "x", "env": {}}
UNMANAGED: dict[str, Any] = {"release": None, "project": None}
SECOND_WORKERS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("old release of this application", {"release": "r0", "project": "sidekick-r0", **OTHER_NAME}, ["registered"]),
    ("same name in effect", {**UNMANAGED, "env": {}}, ["registered"]),
    ("same name in the environment", {**UNMANAGED, "agent_name": None}, ["registered"]),
    ("another application", {"release": "r0", "project": "else-r0", **OTHER_NAME}, []),
    ("stopped", {"running": False}, []),
]


@pytest.mark.parametrize(("change", "failed"), [pytest.param(c, f, id=i) for i, c, f in SECOND_WORKERS])
def test_exactly_one_worker_serves(world: World, change: dict[str, Any], failed: list[str]) -> None:
    for reading in world["hosts"]["a"]["readings"]:
        reading["workers"].append({**worker("a"), "container_id": "c-2", **change})
    assert failed_checks(world) == failed


def rotate(world: World) -> None:
    for reading in world["hosts"]["a"]["readings"]:
        reading["workers"][0].update(worker_id=None, agent_name=None, registered_since=None)


def test_a_rotated_registration_line_is_replaced_by_the_directed_probe(world: World) -> None:
    rotate(world)
    assert failed_checks(world) == []
    assert check(world, "registered")["found"].startswith("AW_a since unknown")
    assert judge(**world)["report"]["a"]["worker_ids"] == ["AW_a"]


NO_REPLACEMENT: list[tuple[str, Callable[[World], None]]] = [
    ("no probe", lambda world: world["probes"].pop("a/directed")),
    ("a worker without the hook took it", lambda world: put(world, DIRECTED + "status", "JS_RUNNING")),
    ("not in this log", lambda world: put(world, R2 + "requests", [])),
]


@pytest.mark.parametrize("change", [pytest.param(c, id=i) for i, c in NO_REPLACEMENT])
def test_a_rotated_registration_line_is_not_replaced_without_proof(
    world: World, change: Callable[[World], None]
) -> None:
    rotate(world)
    change(world)
    assert {"name_in_effect", "registered"} <= set(failed_checks(world))
    assert judge(**world)["report"]["a"]["worker_ids"] == []


def test_a_line_that_rotated_away_between_the_readings_keeps_its_id(world: World) -> None:
    world["hosts"]["a"]["readings"][1]["workers"][0].update(worker_id=None, registered_since=None)
    assert failed_checks(world) == []
    put(world, DIRECTED + "worker_id", "AW_new")
    assert "directed_probe" in failed_checks(world)


def test_a_host_that_could_not_be_read_says_why(world: World) -> None:
    world["hosts"]["a"] = {"agent_name": NAME, "error": "no SSH connection"}
    entry = judge(**world)["report"]["a"]
    assert (entry["verdict"], entry["reason"]) == ("inconclusive", "no SSH connection")


def test_an_error_alone_fails_a_host(world: World) -> None:
    world["hosts"]["a"]["error"] = "the play failed"
    assert judge(**world)["failed_hosts"] == ["a"]


BROKEN: list[Any] = [
    None,
    [],
    "text",
    7,
    {},
    {"readings": [None, None]},
    {"readings": [{"workers": [None, {}]}, {"workers": None}]},
    {"services": [], "drift": "x", "readings": {}},
    {"agent_name": None, "services": {"fastapi": {"running": True, "env": None}}},
]


@pytest.mark.parametrize("given", BROKEN)
def test_missing_input_fails_every_check_of_a_host_and_never_raises(given: Any) -> None:
    answer = judge({"a": given}, None, True)
    assert [c["ok"] for c in answer["report"]["a"]["checks"]] == [False] * len(CHECKS)
    assert answer["failed_hosts"] == ["a"]


@pytest.mark.parametrize("hosts", [None, {}, []])
def test_no_host_is_not_ok(hosts: Any) -> None:
    assert judge(hosts, {}) == {"report": {}, "ok": False, "failed_hosts": [], "report_notes": []}


def test_a_host_without_an_agent_name_is_never_reached(world: World) -> None:
    world["hosts"]["a"]["agent_name"] = ""
    assert {"environment", "name_in_effect", "preview"} <= set(failed_checks(world))


# --- a worker without the hook ---


def sample(number: int, worker_id: str | None = "AW_a", job_id: str | None = None, **changes: Any) -> dict[str, Any]:
    job = {
        "worker_id": worker_id,
        "job_id": job_id or f"AJ_sample_{number}",
        "status": "JS_RUNNING",
        "latency_seconds": 0.22,
    }
    taken = {"outcome": "taken", "agent_name": NAME, "room": f"sample-{number}", "seconds": 0.3, "reason": "taken"}
    return {**taken, **job, **changes}


@pytest.fixture
def hookless(world: World) -> World:
    """One host without the hook: eight samples, all taken by its worker, and no directed probe."""
    world["hosts"] = {"a": {**world["hosts"]["a"], "pool": "a", "hook": False}}
    samples = {f"{NAME}/sample/{number}": sample(number) for number in range(1, 9)}
    world["probes"] = {key: world["probes"][key] for key in ("a/preview", "nobody")} | samples
    asked = world["hosts"]["a"]["readings"][1]["workers"][0]["requests"]
    asked += [{"job_id": probe["job_id"], "room": probe["room"]} for probe in samples.values()]
    return world


def set_samples(world: World, **changes: Any) -> None:
    for key in [key for key in world["probes"] if "/sample" in key]:
        world["probes"][key] |= changes


def test_worker_without_the_hook_is_proven_by_sampling(hookless: World) -> None:
    entry = judge(**hookless)["report"]["a"]
    assert (entry["verdict"], entry["routing"]["method"], failed_checks(hookless)) == ("exclusive", "sampling", [])
    assert check(hookless, "directed_probe")["found"].startswith("sampling: 8 of 8 plain dispatches taken by AW_a")


def test_row_of_a_sampled_host_shows_one_of_its_samples(hookless: World) -> None:
    entry = judge(**hookless)["report"]["a"]
    assert entry["probe"] == {"job_id": "AJ_sample_1", "worker_id": "AW_a", "latency_seconds": 0.22}


def test_preview_may_be_served_by_an_old_worker_that_no_gate_keeps_back(hookless: World) -> None:
    host = hookless["hosts"]["a"]
    asked = host["readings"][1]["workers"][0]["requests"]
    asked[:] = [request for request in asked if request["room"] != "preview-a"]
    host["behind"] = [{**worker("a"), "release": "r0", "worker_id": "AW_old"}]
    host["own_ids"].append("AW_old")
    hookless["probes"]["a/preview"]["worker_id"] = "AW_old"
    assert failed_checks(hookless) == []


def test_worker_behind_a_gate_that_holds_serves_no_preview(world: World) -> None:
    asked = world["hosts"]["a"]["readings"][1]["workers"][0]["requests"]
    asked[:] = [request for request in asked if request["room"] != "preview-a"]
    world["hosts"]["a"]["behind"] = [{**worker("a"), "worker_id": "AW_old"}]
    assert failed_checks(world) == ["preview"]


def test_preview_that_an_old_worker_took_whose_gate_is_not_closed_is_in_its_log(world: World) -> None:
    asked = world["hosts"]["a"]["readings"][1]["workers"][0]["requests"]
    asked[:] = [request for request in asked if request["room"] != "preview-a"]
    world["hosts"]["a"]["behind"] = [{**worker("a"), "worker_id": "AW_old"}]
    world["hosts"]["a"]["own_ids"].append("AW_old")
    world["probes"]["a/preview"]["worker_id"] = "AW_old"
    assert failed_checks(world) == []


def test_sampling_says_how_probable_a_miss_is(hookless: World) -> None:
    assert "an equal worker, with probability 0.004" in judge(**hookless)["report"]["a"]["routing"]["not_seen"]


def test_one_sample_of_somebody_else_makes_the_name_foreign(hookless: World) -> None:
    put(hookless, f"probes|{NAME}/sample/3|worker_id", "AW_x")
    assert verdict_of(hookless) == "foreign"
    assert failed_checks(hookless) == []


@pytest.mark.parametrize(
    "changes", [{"outcome": "nobody", "worker_id": None, "job_id": None}, {"job_id": "AJ_elsewhere"}]
)
def test_sampled_worker_that_got_nothing_is_unreachable(hookless: World, changes: dict[str, Any]) -> None:
    set_samples(hookless, **changes)
    assert (verdict_of(hookless), failed_checks(hookless)) == ("unreachable", ["directed_probe"])


def test_refused_samples_are_no_evidence(hookless: World) -> None:
    for number in (1, 2):
        hookless["probes"][f"{NAME}/sample/{number}"] |= {"outcome": "nobody", "worker_id": None, "job_id": None}
    assert (verdict_of(hookless), failed_checks(hookless)) == ("inconclusive", [])


def without_samples(world: World) -> World:
    world["probes"] = {key: probe for key, probe in world["probes"].items() if "/sample" not in key}
    return world


def test_sampling_that_is_off_proves_nothing_and_fails_no_other_check(hookless: World) -> None:
    off = without_samples(hookless)
    assert (verdict_of(off), failed_checks(off)) == ("inconclusive", [])
    assert "nothing was sent" in check(off, "routing")["found"]


def test_single_sample_has_no_number(hookless: World) -> None:
    off = without_samples(hookless)
    off["probes"][f"{NAME}/sample"] = sample(1)
    assert "1 of 1 plain dispatches" in check(off, "directed_probe")["found"]


def test_rotated_registration_line_is_replaced_by_a_sample(hookless: World) -> None:
    rotate(hookless)
    assert (failed_checks(hookless), verdict_of(hookless)) == ([], "exclusive")


def test_pool_with_and_without_the_hook_is_sampled(world: World) -> None:
    world["hosts"]["b"]["hook"] = False
    for number, name in enumerate(["a", "b"] * 8):
        world["probes"][f"{NAME}/sample/{number}"] = sample(number, f"AW_{name}")
        world["hosts"][name]["readings"][1]["workers"][0]["requests"].append(
            {"job_id": f"AJ_sample_{number}", "room": "x"}
        )
    for key in ("a/directed", "b/directed", f"{NAME}/through"):
        del world["probes"][key]
    assert [verdict_of(world, name) for name in ("a", "b")] == ["shared", "shared"]


def test_log_of_a_worker_that_passes_requests_on_is_no_proof_in_a_sampled_pool(world: World) -> None:
    world["hosts"]["b"]["hook"] = False
    rotate(world)
    world["probes"][f"{NAME}/sample"] = sample(1, "AW_b", "AJ_a")
    assert "name_in_effect" in failed_checks(world)


# --- with the server's log ---


def server_log_of(*worker_ids: str, **more: Any) -> dict[str, Any]:
    since = "2026-01-02T03:04:05Z"
    entry = {"agent_name": NAME, "job_type": "JT_ROOM", "deployment": None, "registered": since, "closed": None}
    workers = [{**entry, "worker_id": worker_id} for worker_id in worker_ids]
    return {
        "host": "livekit",
        "complete": True,
        "reason": "",
        "since": since,
        "time": 1.8e9,
        "workers": workers,
        **more,
    }


def test_complete_log_of_the_server_leaves_nothing_unseen(world: World) -> None:
    route = judge(**world, server_logs=[server_log_of("AW_a", "AW_b")])["report"]["a"]["routing"]
    assert (route["method"], route["not_seen"]) == ("reject-through probe and server evidence", [])


def test_worker_that_takes_no_probe_is_foreign_by_the_log(world: World) -> None:
    entry = judge(**world, server_logs=[server_log_of("AW_a", "AW_b", "AW_full")])["report"]["a"]
    assert (entry["verdict"], entry["routing"]["foreign"]) == ("foreign", ["AW_full"])


def test_complete_logs_decide_for_several_nodes(world: World) -> None:
    logs = [server_log_of("AW_a"), server_log_of("AW_b", host="livekit-2")]
    assert judge(**world, nodes=2, server_logs=logs)["report"]["a"]["verdict"] == "shared"


def test_log_that_could_not_be_read_is_said_and_changes_nothing(world: World) -> None:
    entry = judge(**world, server_logs=[{"host": "livekit", "msg": "no such unit"}])["report"]["a"]
    assert entry["verdict"] == "shared"
    assert "livekit: no such unit" in entry["routing"]["reason"]


def test_unreachable_worker_that_the_server_does_not_have_is_told(world: World) -> None:
    put(world, DIRECTED + "outcome", "nobody")
    found = judge(**world, server_logs=[server_log_of("AW_b")])["report"]["a"]
    assert found["verdict"] == "unreachable"
    assert "the LiveKit server does not have its worker AW_a" in found["routing"]["reason"]


# --- traps: what looks like somebody else, or like nobody, and is not ---


def test_any_id_of_a_storm_of_reconnects_is_ours(world: World) -> None:
    world["hosts"]["a"]["own_ids"] += [f"AW_storm_{number}" for number in range(300)]
    world["probes"]["a/preview"]["worker_id"] = "AW_storm_7"
    assert verdict_of(world) == "shared"


def test_new_id_at_the_second_reading_is_ours_and_no_proof_of_a_stable_worker(world: World) -> None:
    put(world, R2 + "worker_id", "AW_again")
    world["hosts"]["a"]["own_ids"].append("AW_again")
    world["probes"]["a/directed"]["worker_id"] = "AW_again"
    assert (verdict_of(world), failed_checks(world)) == ("shared", ["registered"])


def test_worker_that_answers_too_late_is_unreachable_and_said_to_have_been_asked(world: World) -> None:
    put(world, DIRECTED + "outcome", "nobody")
    assert verdict_of(world) == "unreachable"
    assert "was asked" in check(world, "directed_probe")["found"]


def test_draining_worker_of_ours_that_took_a_probe_is_no_stranger(world: World) -> None:
    world["hosts"]["a"]["own_ids"].append("AW_old")
    world["probes"]["a/preview"]["worker_id"] = "AW_old"
    assert verdict_of(world) == "shared"


def test_job_that_the_list_shows_late_counts(world: World) -> None:
    put(world, DIRECTED + "latency_seconds", 5.1)
    assert (verdict_of(world), failed_checks(world)) == ("shared", [])


def test_fields_that_are_left_out_because_they_are_zero_are_no_fault(world: World) -> None:
    for reading in world["hosts"]["a"]["readings"]:
        for key in ("load", "active_jobs", "reconnects", "draining"):
            reading["workers"][0].pop(key)
    assert failed_checks(world) == []


def test_preview_that_was_asked_from_the_host_holds_and_is_told(world: World) -> None:
    put(world, "probes|a/preview|from_host", "http://a refuses the connection")
    answer = judge(**world)
    assert check(world, "preview")["ok"]
    assert (
        "asked from a itself, because the controller gets no connection (http://a refuses"
        in check(world, "preview")["found"]
    )
    assert [note.partition(":")[0] for note in answer["report_notes"]] == ["a"]


def test_api_that_nobody_reaches_is_no_matter_of_its_log(world: World) -> None:
    put(world, PREVIEW + "outcome", "error")
    put(world, PREVIEW + "error_kind", "not_reached")
    remedy = check(world, "preview")["remedy"]
    assert "let this controller reach the API" in remedy
    assert "logs fastapi" not in remedy
