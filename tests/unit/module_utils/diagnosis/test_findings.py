# SPDX-License-Identifier: Apache-2.0
"""Every cause planted in a fleet where nothing is wrong; and what is missing never rules anything out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common.commands import Playbooks
from ansible.module_utils.livekit_deploy.diagnosis import decide
from ansible.module_utils.livekit_deploy.diagnosis.causes import CAUSES
from ansible.module_utils.livekit_deploy.diagnosis.world import World

Fleet = dict[str, Any]
NAME, RELEASE, URL = "support-one", "20260102T020405Z-0a1b2c3d", "ws://livekit.test:7880"
EVIDENCE, WORKER, API = "data|one|evidence", "data|one|evidence|workers|0", "data|one|evidence|api"
REFUSED = {
    "message": "failed to connect to livekit",
    "time": "2026-01-02T03:09:00Z",
    "error": "401, message='Invalid response status'",
}
NO_SERVER = {
    "message": "failed to connect to livekit",
    "time": "2026-01-02T03:09:00Z",
    "error": "Cannot connect to host nowhere:1",
}
NO_PROBE = {"outcome": "nobody", "room": "livekit-deploy-probe-one", "worker_id": None}


def put(fleet: Fleet, path: str, value: Any) -> None:
    """Set one value; the path's parts are keys and indices."""
    *way, last = path.split("|")
    place: Any = fleet
    for part in way:
        place = place[int(part) if isinstance(place, list) else part]
    place[int(last) if isinstance(place, list) else last] = value


def planted(**values: Any) -> Callable[[Fleet], None]:
    """A plant that sets values of the first host's worker."""
    return both(*(at(f"{WORKER}|{key}", value) for key, value in values.items()))


def at(path: str, value: Any) -> Callable[[Fleet], None]:
    return lambda fleet: put(fleet, path, copy.deepcopy(value))


def both(*plants: Callable[[Fleet], None]) -> Callable[[Fleet], None]:
    def plant_all(fleet: Fleet) -> None:
        for plant in plants:
            plant(fleet)

    return plant_all


def lost(**values: Any) -> Callable[[Fleet], None]:
    """A worker that is not connected, so that nobody answers the directed probe."""
    return both(
        planted(connected=False, **values),
        at("probes|one/directed", NO_PROBE),
        at("verdicts|one|verdict", "unreachable"),
    )


def renamed(registered: str, environment: str = NAME, **values: Any) -> Callable[[Fleet], None]:
    """A worker that registered under another name, by its environment or not."""
    env = {"AGENT_NAME": environment, "LIVEKIT_AGENT_NAME": environment}
    services = at(f"{EVIDENCE}|services|agent-worker|env", env)
    return both(lost(), planted(connected=True, agent_name=registered, env=env, **values), services)


def foreign(where: str, **values: Any) -> Callable[[Fleet], None]:
    """Somebody else's worker under the first host's name, on a host or (nowhere) none read; ours answers its probe."""

    def plant(fleet: Fleet) -> None:
        made = {
            **copy.deepcopy(fleet["data"]["other-1"]["evidence"]["workers"][0]),
            "agent_name": NAME,
            "worker_id": "AW_foreign",
        }
        made.update(
            worker_ids=["AW_foreign"], container="rival", project="theirs", start_command="docker start rival", **values
        )
        if where:
            fleet["data"][where]["evidence"]["workers"].append(made)
        fleet["verdicts"]["one"].update(verdict="foreign")
        fleet["verdicts"]["one"]["routing"].update(foreign=["AW_foreign"])
        fleet["probes"][f"{NAME}/through"] = {
            "outcome": "taken",
            "worker_id": "AW_foreign",
            "job_id": "AJ_9",
            "room": "livekit-deploy-9",
        }

    return plant


def stopped_rival(fleet: Fleet) -> None:
    asked = [{"job_id": "AJ_1", "dispatch_id": "AD_1", "room": "r", "agent_name": NAME, "time": "2026-01-02T02:30:00Z"}]
    fleet["data"]["other-1"]["evidence"]["workers"][0].update(running=False, agent_name=NAME, requests=asked)


def refused_server(fleet: Fleet) -> None:
    fleet["server"] = {
        "reachable": True,
        "key_accepted": False,
        "kind": "secret",
        "found": "ws://x refuses the API secret (HTTP 401)",
    }


def no_server(fleet: Fleet) -> None:
    fleet["server"] = {
        "reachable": False,
        "key_accepted": False,
        "found": "ws://x refuses the connection",
        "remedy": "start the server",
    }
    fleet["probes"], fleet["verdicts"] = {}, {}


def rule(*agents: str) -> dict[str, Any]:
    return {"checked": True, "rules": [{"id": "SDR_1", "name": "hotline", "agents": list(agents), "trunks": []}]}


def hear_nothing(fleet: Fleet) -> None:
    fleet["data"]["one"]["evidence"]["workers"][0]["requests"] = []


def died(count: int, line: str) -> dict[str, Any]:
    return {"count": count, "line": line, "error": None, "time": "2026-01-02T03:09:00Z"}


STORM = [f"2026-01-02T03:09:{second:02}Z" for second in range(10, 20)]
EDITED = {"AGENT_NAME": "new", "LIVEKIT_AGENT_NAME": "new", "LIVEKIT_URL": URL}
PLANTS: dict[str, tuple[str, Callable[[Fleet], None]]] = {
    "server away": ("server_unreachable", no_server),
    "nothing deployed": ("no_release", both(at(f"{EVIDENCE}|release", None), at(f"{EVIDENCE}|missing", ["nginx"]))),
    "clock off": ("clock_skew", at(f"{EVIDENCE}|clock_skew_seconds", -95.0)),
    "controller's clock off": (
        "clock_skew",
        at("server", {"reachable": True, "key_accepted": False, "kind": "clock", "found": "its time"}),
    ),
    "inventory's secret refused": ("wrong_key", refused_server),
    "worker's key refused": ("wrong_key", lost(unauthorized=12, failures=12, worker_id=None, last_failure=REFUSED)),
    "worker's key refused until it ended": (
        "wrong_key",
        lost(
            unauthorized=16,
            failures=17,
            worker_id=None,
            last_failure=REFUSED,
            restarts=3,
            started_at="2026-01-02T03:08:00Z",
        ),
    ),
    "worker cannot connect": (
        "wrong_url",
        lost(worker_id=None, failures=5, last_failure=NO_SERVER, configured_url="ws://nowhere:1"),
    ),
    "crash loop": (
        "crash_loop",
        lost(running=False, restarts=7, exit_code=1, worker_id=None, last_lines=["ImportError: x"]),
    ),
    "stopped": ("not_running", lost(running=False, exit_code=0, worker_id=None)),
    "container removed": ("not_running", both(lost(), at(f"{EVIDENCE}|workers", []), at(f"{EVIDENCE}|services", {}))),
    "edited and restarted": ("edited_not_recreated", at(f"{EVIDENCE}|written|agent-worker", EDITED)),
    "only the API's file edited": ("edited_not_recreated", at(f"{EVIDENCE}|written|fastapi", EDITED)),
    "URL edited": ("edited_not_recreated", at(f"{EVIDENCE}|written|agent-worker|LIVEKIT_URL", "ws://new.test")),
    "inventory not deployed": ("not_deployed", at(f"{EVIDENCE}|release|agent_name", "old")),
    "override": ("wrong_override", renamed("theirs", override="theirs")),
    "container of another name": ("other_environment", renamed("by-hand", environment="by-hand")),
    "name in code": ("hardcoded_name", renamed("in-code")),
    "name in code, version unknown": ("hardcoded_name", renamed("in-code", sdk_version=None)),
    "old SDK": ("sdk_too_old", renamed("", sdk_version="1.5.6")),
    "SDK too old for the override": ("sdk_too_old", renamed("in-code", sdk_version="1.5.9", override=NAME)),
    "empty name": ("empty_name", renamed("", environment="")),
    "deployment label": ("deployment_label", both(lost(), planted(connected=True, deployment="blue"))),
    "gate closed": ("gate_closed", both(at(f"{EVIDENCE}|gate", "closed"), planted(passed_on=3))),
    "draining": ("draining", lost(draining=True)),
    "connection lost": ("connection_lost", lost(failures=1, last_failure=NO_SERVER)),
    "storm": ("connection_lost", planted(registrations=STORM)),
    "API stopped": ("api_not_running", at(f"{EVIDENCE}|services|fastapi|running", False)),
    "API at another server": ("different_urls", at(f"{API}|url", "ws://old.test:7880")),
    "API asks for another name": ("api_other_name", at(f"{API}|agent_names", {"support": 9})),
    "API asks for two names": ("api_other_name", at(f"{API}|agent_names", {NAME: 1, "support": 9})),
    "foreign on this host": ("foreign_here", foreign("one")),
    "foreign on a suspect": ("foreign_known", foreign("other-1")),
    "foreign on another host of the inventory": ("foreign_known", foreign("two")),
    "foreign process": ("foreign_known", foreign("other-1", kind="process", pid=99)),
    "foreign nowhere": ("foreign_elsewhere", foreign("")),
    "slow": ("slow_handler", both(lost(), planted(connected=True, requests=[{"room": "livekit-deploy-probe-one"}]))),
    "late at times": ("slow_handler", planted(late=2)),
    "full": ("full", both(lost(), planted(connected=True, full=True, load=0.95, active_jobs=8))),
    "over the threshold": ("full", both(lost(), planted(connected=True, load=0.8))),
    "entrypoint raises": ("entrypoint_fails", planted(entrypoint_errors=2, last_entrypoint_error="RuntimeError: x")),
    "killed for want of memory": (
        "out_of_memory",
        planted(oom_killed=True, troubles={"killed": died(40, "exit code -9")}),
    ),
    "killed by something": ("out_of_memory", planted(troubles={"killed": died(2, "exit code -9")})),
    "killed before the time looked at": ("out_of_memory", planted(oom_killed=True)),
    "memory limit of the SDK": (
        "memory_limit",
        planted(troubles={"memory_limit": died(2, "process exceeded memory limit")}),
    ),
    "processes crash": ("job_crashes", planted(troubles={"crashed": died(2, "exit code -11")})),
    "processes do not get ready": (
        "slow_start",
        planted(troubles={"initialization": died(2, "error initializing process")}),
    ),
    "processes hang": (
        "unresponsive",
        planted(troubles={"unresponsive": died(2, "process is unresponsive, killing process")}),
    ),
    "no process for a job": (
        "no_process",
        planted(troubles={"no_process": died(2, "failed to acquire process for job")}),
    ),
    "on_request raises": (
        "request_handler_fails",
        planted(troubles={"request_handler": died(2, "job_request_fnc failed")}),
    ),
    "API fails": (
        "api_fails",
        both(at(f"{API}|failed", 4), at(f"{API}|agent_names", {}), at(f"{API}|last_failure", "HTTP 401")),
    ),
    "asked while nobody was there": ("nobody_listened", hear_nothing),
    "rival gone": ("foreign_gone", stopped_rival),
    "5xx": ("web_errors", at(f"{EVIDENCE}|proxy|by_status", {"200": 0, "502": 2})),
    "no traffic here": ("no_web_traffic", at(f"{EVIDENCE}|proxy|requests", 0)),
    "SIP rule": ("sip_other_name", at("sip", rule("support"))),
}
each_plant = pytest.mark.parametrize("plant", PLANTS)
# What only an unmanaged worker can have is in test_unmanaged.py.
each_cause = pytest.mark.parametrize("cause", [cause.id for cause in CAUSES if not cause.unmanaged])


def diagnosed(fleet: Fleet, host: str = "one") -> dict[str, Any]:
    found = next((one for one in World(**fleet).agent_hosts if one.name == host), None)
    return dict(decide.diagnose_host(found, Playbooks())) if found else {"causes": [], "ruled_out": []}


def ids(items: list[dict[str, Any]], key: str) -> list[str]:
    return [item[key] for item in items]


@each_plant
def test_a_planted_cause_comes_first(fleet: Fleet, plant: str) -> None:
    cause, change = PLANTS[plant]
    change(fleet)
    assert ids(diagnosed(fleet)["causes"], "id")[0] == cause


@each_plant
def test_a_planted_cause_is_of_its_host_alone(fleet: Fleet, plant: str) -> None:
    cause, change = PLANTS[plant]
    change(fleet)
    everywhere = {"server_unreachable", "clock_skew", "wrong_key", "sip_other_name"}
    assert cause in everywhere or cause not in ids(diagnosed(fleet, "two")["causes"], "id")


@each_cause
def test_every_cause_is_planted(cause: str) -> None:
    assert cause in {planted_cause for planted_cause, _ in PLANTS.values()}


@each_cause
def test_a_fleet_with_nothing_wrong_rules_every_cause_out(fleet: Fleet, cause: str) -> None:
    assert cause in ids(diagnosed(fleet)["ruled_out"], "cause")


def test_a_fleet_with_nothing_wrong_says_so(fleet: Fleet) -> None:
    found = diagnosed(fleet)
    assert (found["outcome"], found["causes"], found["unknown"]) == ("nothing_wrong", [], [])


# --- what could not be read rules nothing out -------------------------------------------------------------------------


COUNTS = ("by_status", "agent_names", "troubles")  # their keys are what was counted


def paths(value: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of nested mappings and lists of mappings."""
    if so_far[-1:] and so_far[-1] in COUNTS:
        return
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        if isinstance(value, dict):
            yield (*so_far, key)
        yield from paths(item, (*so_far, key))


def without(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy in which one key is missing; the rest is shared."""
    changed = copy.copy(value)
    if len(path) == 1:
        del changed[path[0]]
    else:
        changed[path[0]] = without(changed[path[0]], path[1:])
    return changed


def newly_ruled_out(fleet: Fleet, path: tuple[Any, ...], before: set[str]) -> list[str]:
    return sorted(set(ids(diagnosed(without(fleet, path))["ruled_out"], "cause")) - before)


# Not evidence: who is in the inventory, and the parts of a sentence.
INVENTORY = {("data",), *(("data", name) for name in ("one", "two", "other-1")), ("data", "other-1", "group")}
INVENTORY |= {
    ("data", name, key)
    for name in ("one", "two")
    for key in ("agent_name", "pool", "group", "livekit_url", "app", "shared_name")
}


@pytest.mark.parametrize("plant", ["healthy", *PLANTS])
def test_a_missing_piece_of_evidence_rules_nothing_out(fleet: Fleet, plant: str) -> None:
    if plant != "healthy":
        PLANTS[plant][1](fleet)
    before = set(ids(diagnosed(fleet)["ruled_out"], "cause"))
    removed = [path for path in paths(fleet) if path not in INVENTORY and (len(path) < 5 or path[1] != "two")]
    assert len(removed) > 100
    assert {path: new for path in removed if (new := newly_ruled_out(fleet, path, before))} == {}


SINCE, NOW = 1_767_319_800.0, 1_767_323_400.0
SHORTENED: dict[str, dict[str, Any]] = {
    "begins in the time looked at": {"begins": SINCE + 60, "why": "older lines are gone"},
    "begins with the container": {"begins": SINCE + 60},
    "has gaps": {"whole": False},
    "begins nobody knows when": {"begins": None},
}
# What rests on each reading, so that it is known what a shorter one must leave open.
RESTS_ON = {
    WORKER: {
        *(
            "entrypoint_fails",
            "slow_handler",
            "nobody_listened",
            "out_of_memory",
            "memory_limit",
            "job_crashes",
            "slow_start",
        ),
        *("unresponsive", "no_process", "request_handler_fails"),
    },
    API: {"api_other_name", "api_fails"},
    f"{EVIDENCE}|proxy": {"web_errors"},
}


def shorten(fleet: Fleet, reading: str, how: str) -> Fleet:
    for key, value in SHORTENED[how].items():
        put(fleet, f"{reading}|reach|{key}", value)
    return fleet


@pytest.mark.parametrize("how", SHORTENED)
@pytest.mark.parametrize("reading", RESTS_ON)
def test_a_shortened_reading_leaves_open_what_rests_on_it(fleet: Fleet, reading: str, how: str) -> None:
    found = diagnosed(shorten(fleet, reading, how))
    assert RESTS_ON[reading] - {"nobody_listened"} <= set(ids(found["unknown"], "cause"))
    assert (found["causes"], found["outcome"]) == ([], "no_cause_found")


@pytest.mark.parametrize("how", SHORTENED)
@pytest.mark.parametrize("plant", ["healthy", *PLANTS])
def test_a_shortened_reading_rules_nothing_out_and_hides_no_cause(fleet: Fleet, plant: str, how: str) -> None:
    if plant != "healthy":
        PLANTS[plant][1](fleet)
    before = diagnosed(fleet)
    for reading in RESTS_ON:
        if reading != WORKER or fleet["data"]["one"]["evidence"]["workers"]:
            shorten(fleet, reading, how)
    found = diagnosed(fleet)
    assert set(ids(found["ruled_out"], "cause")) <= set(ids(before["ruled_out"], "cause"))
    # What a log does not have can be told by a whole one only.
    whole_only = {"nobody_listened", "no_web_traffic"}
    assert set(ids(before["causes"], "id")) - whole_only <= set(ids(found["causes"], "id"))


def test_a_stopped_rival_with_half_a_log_is_not_called_harmless(fleet: Fleet) -> None:
    fleet["data"]["other-1"]["evidence"]["workers"][0].update(running=False)
    assert "foreign_gone" in ids(diagnosed(fleet)["ruled_out"], "cause")
    fleet["data"]["other-1"]["evidence"].update(since=SINCE)
    fleet["data"]["other-1"]["evidence"]["workers"][0]["reach"].update(begins=SINCE + 60, why="older lines are gone")
    assert "foreign_gone" in ids(diagnosed(fleet)["unknown"], "cause")


UNKNOWN_ERROR = {
    "line": "the bridge to the telephone network is down",
    "error": "OSError: x",
    "time": "2026-01-02T03:09:00Z",
}


def test_an_error_that_nobody_knows_rules_no_failure_of_jobs_out(fleet: Fleet) -> None:
    fleet["data"]["one"]["evidence"]["workers"][0].update(unknown_errors=3, last_unknown_error=UNKNOWN_ERROR)
    found = diagnosed(fleet)
    assert {"entrypoint_fails", "out_of_memory", "job_crashes", "request_handler_fails"} <= set(
        ids(found["unknown"], "cause")
    )
    assert (found["causes"], found["outcome"]) == ([], "no_cause_found")
    assert any(
        "3 lines of level ERROR" in one["why"] and UNKNOWN_ERROR["line"] in one["why"] for one in found["unknown"]
    )


def test_requests_in_the_unread_part_of_the_access_log_may_have_failed(fleet: Fleet) -> None:
    proxy = fleet["data"]["one"]["evidence"]["proxy"]
    proxy.update(requests=12_011, by_status={"200": 12_011})
    proxy["reach"].update(begins=SINCE + 1800, why="only the newest 1 MiB were read")
    found = diagnosed(fleet)
    assert found["outcome"] == "no_cause_found"
    (why,) = [one["why"] for one in found["unknown"] if one["cause"] == "web_errors"]
    assert "begins at 2026-01-02T02:40:00Z (only the newest 1 MiB were read)" in why
    assert found["flow"]["requests_since"] == "2026-01-02T02:40:00Z"


def test_a_missing_piece_of_evidence_blames_nobody(fleet: Fleet) -> None:
    # A service not among those found is a container that is not there; a worker without our release is not ours.
    mine = ("data", "one", "evidence")
    told = {
        (*mine, "services", "fastapi"),
        (*mine, "services", "agent-worker"),
        (*mine, "states", RELEASE),
        (*mine, "workers", 0, "release"),
    }
    removed = [path for path in paths(fleet) if path not in INVENTORY | told]
    assert {path: ids(found, "id") for path in removed if (found := diagnosed(without(fleet, path))["causes"])} == {}


@each_cause
def test_without_any_evidence_nothing_is_ruled_out(fleet: Fleet, cause: str) -> None:
    fleet.update(probes={}, verdicts={}, server={}, sip={})
    fleet["data"]["one"].update(evidence={})
    found = diagnosed(fleet)
    assert (cause in ids(found["unknown"], "cause"), found["causes"], found["ruled_out"]) == (True, [], [])


def test_of_a_host_that_could_not_be_read_nothing_is_decided(fleet: Fleet) -> None:
    fleet["data"]["one"].update(evidence={}, unread="away")
    found = diagnosed(fleet)
    assert (found["outcome"], found["causes"], found["ruled_out"], found["unknown"]) == ("not_read", [], [], [])


@pytest.mark.parametrize(
    "key", ["workers", "api", "proxy", "services", "written", "gate", "release", "states", "clock_skew_seconds"]
)
def test_without_an_essential_part_nobody_says_that_nothing_is_wrong(fleet: Fleet, key: str) -> None:
    del fleet["data"]["one"]["evidence"][key]
    assert diagnosed(fleet)["outcome"] == "no_cause_found"


def test_an_unread_log_of_the_api_is_not_an_api_without_dispatches(fleet: Fleet) -> None:
    fleet["data"]["one"]["evidence"]["api"].update(read=False, agent_names={}, dispatches=[])
    assert {"api_other_name", "api_fails", "nobody_listened"} <= set(ids(diagnosed(fleet)["unknown"], "cause"))


def test_a_suspect_that_could_not_be_read_leaves_open_who_has_the_name(fleet: Fleet) -> None:
    fleet["data"]["other-1"].update(evidence={}, unread="away")
    found = diagnosed(fleet)
    assert "foreign_known" in ids(found["unknown"], "cause")


# --- details that decide ----------------------------------------------------------------------------------------------


def causes_of(fleet: Fleet, plant: str) -> list[dict[str, Any]]:
    PLANTS[plant][1](fleet)
    return list(diagnosed(fleet)["causes"])


def test_a_foreign_worker_is_named_with_id_container_project_and_host(fleet: Fleet) -> None:
    first = causes_of(fleet, "foreign on a suspect")[0]
    text = " ".join([first["title"], *first["evidence_for"]])
    assert [word for word in ("AW_foreign", "rival", "theirs", "other-1", NAME) if word not in text] == []
    assert "-e evict_worker=AW_foreign" in first["remedy"]
    assert "on other-1: docker start rival" in first["rollback"]


def test_a_foreign_worker_of_another_pool_is_named_with_its_pool(fleet: Fleet) -> None:
    foreign("")(fleet)
    fleet["data"]["two"]["evidence"]["workers"][0].update(
        agent_name=NAME, worker_id="AW_foreign", worker_ids=["AW_foreign"]
    )
    assert "a worker of pool two" in diagnosed(fleet)["causes"][0]["title"]


def test_the_old_release_of_the_host_is_not_foreign(fleet: Fleet) -> None:
    mine = fleet["data"]["one"]["evidence"]
    mine["states"]["old"] = "draining"
    mine["workers"].append({**mine["workers"][0], "release": "old", "worker_id": "AW_old", "worker_ids": ["AW_old"]})
    fleet["probes"][f"{NAME}/through"] = {"outcome": "taken", "worker_id": "AW_old"}
    assert diagnosed(fleet)["causes"] == []


def test_a_member_of_the_same_pool_is_not_foreign(fleet: Fleet) -> None:
    for name in ("one", "two"):
        fleet["data"][name].update(agent_name=NAME, pool="both")
    fleet["data"]["two"]["evidence"]["workers"][0].update(agent_name=NAME)
    fleet["probes"][f"{NAME}/through"] = {"outcome": "taken", "worker_id": "AW_two"}
    assert not {"foreign_known", "foreign_elsewhere"} & set(ids(diagnosed(fleet)["causes"], "id"))


def test_an_unknown_id_is_not_foreign_while_a_member_of_the_pool_is_unread(fleet: Fleet) -> None:
    fleet["data"]["two"].update(agent_name=NAME, pool="one", evidence={}, unread="away")
    fleet["probes"][f"{NAME}/through"] = {"outcome": "taken", "worker_id": "AW_unknown"}
    fleet["verdicts"]["one"].update(verdict="inconclusive")
    assert diagnosed(fleet)["causes"] == []


def test_the_dispatches_that_a_foreign_worker_got_are_counted(fleet: Fleet) -> None:
    foreign("other-1", requests=fleet["data"]["one"]["evidence"]["workers"][0]["requests"][:1])(fleet)
    fleet["data"]["one"]["evidence"]["workers"][0]["requests"].pop(0)
    assert "AW_foreign got 1 of 2 dispatches" in " ".join(diagnosed(fleet)["causes"][0]["evidence_for"])


def test_a_full_worker_of_somebody_else_is_found_although_no_probe_sees_it(fleet: Fleet) -> None:
    foreign("other-1", full=True)(fleet)
    fleet["verdicts"]["one"].update(verdict="exclusive")
    fleet["verdicts"]["one"]["routing"].update(foreign=[])
    fleet["probes"][f"{NAME}/through"] = {"outcome": "nobody"}
    first = diagnosed(fleet)["causes"][0]
    assert (first["id"], first["certain"]) == ("foreign_known", True)


def test_the_same_name_at_another_server_is_only_possible(fleet: Fleet) -> None:
    foreign("other-1", url="ws://other.test")(fleet)
    fleet["verdicts"]["one"].update(verdict="exclusive")
    fleet["verdicts"]["one"]["routing"].update(foreign=[])
    fleet["probes"].clear()
    assert not diagnosed(fleet)["causes"][0]["certain"]


def test_a_worker_in_the_servers_log_that_nobody_has_is_foreign(fleet: Fleet) -> None:
    entry = {
        "worker_id": "AW_logged",
        "agent_name": NAME,
        "job_type": "JT_ROOM",
        "registered": "2026-01-02T02:00:00Z",
        "closed": None,
    }
    fleet["server_logs"] = [{"host": "livekit-1", "complete": True, "workers": [entry]}]
    assert ids(diagnosed(fleet)["causes"], "id") == ["foreign_elsewhere"]


def test_a_worker_that_left_by_the_servers_log_is_not_foreign(fleet: Fleet) -> None:
    entry = {"worker_id": "AW_logged", "agent_name": NAME, "job_type": "JT_ROOM", "closed": "2026-01-02T02:00:00Z"}
    fleet["server_logs"] = [{"host": "livekit-1", "complete": True, "workers": [entry]}]
    assert diagnosed(fleet)["causes"] == []


def test_a_worker_with_a_job_in_a_living_room_is_foreign(fleet: Fleet) -> None:
    fleet["rooms"] = {"room-x": [{"id": "AD_x", "agent_name": NAME, "jobs": [{"id": "AJ_x", "worker_id": "AW_there"}]}]}
    assert "AW_there has job AJ_x" in " ".join(diagnosed(fleet)["causes"][0]["evidence_for"])


@pytest.mark.parametrize("rules", [rule(NAME), rule("support-two"), rule()], ids=["ours", "the other host's", "none"])
def test_a_sip_rule_that_names_a_host_of_the_inventory_is_no_cause(fleet: Fleet, rules: dict[str, Any]) -> None:
    fleet["sip"] = rules
    assert diagnosed(fleet)["causes"] == []


def test_a_sip_rule_of_an_unknown_agent_is_only_possible(fleet: Fleet) -> None:
    fleet["sip"] = rule("somebody-elses")
    assert diagnosed(fleet)["outcome"] == "possible"


def test_sip_that_was_not_checked_is_not_read_and_blames_nobody(fleet: Fleet) -> None:
    fleet["sip"] = {"checked": False, "reason": "sip not connected (redis required)"}
    answer = decide.diagnose(World(**fleet))
    assert answer["not_read"] == ["SIP dispatch rules: sip not connected (redis required)"]
    assert answer["hosts"]["one"]["outcome"] == "nothing_wrong"


def test_a_fleet_that_nobody_asked_is_not_called_broken(fleet: Fleet) -> None:
    for name in ("one", "two"):
        evidence = fleet["data"][name]["evidence"]
        evidence["workers"][0]["requests"] = []
        evidence["proxy"].update(requests=0, by_status={}, last=None)
        evidence["api"].update(agent_names={}, dispatches=[])
    found = diagnosed(fleet)
    assert (found["outcome"], found["causes"]) == ("nothing_wrong", [])
    assert "none was asked for" in found["summary"]
    assert all(entry["idle"] for entry in found["unknown"])


def test_a_bad_verdict_without_a_cause_is_never_called_nothing_wrong(fleet: Fleet) -> None:
    fleet["verdicts"]["one"].update(verdict="inconclusive")
    assert diagnosed(fleet)["outcome"] == "no_cause_found"


def test_a_worker_whose_log_is_gone_is_known_by_what_it_answers(fleet: Fleet) -> None:
    foreign("other-1", answered_name=NAME)(fleet)
    fleet["data"]["other-1"]["evidence"]["workers"][-1].update(agent_name=None)
    assert diagnosed(fleet)["causes"][0]["id"] == "foreign_known"


def test_an_id_that_the_release_remembers_of_an_earlier_worker_is_not_foreign(fleet: Fleet) -> None:
    fleet["data"]["one"]["evidence"]["release"]["earlier_worker_ids"] = ["AW_earlier"]
    entry = {"worker_id": "AW_earlier", "agent_name": NAME, "job_type": "JT_ROOM", "closed": None}
    fleet["server_logs"] = [{"host": "livekit-1", "complete": True, "workers": [entry]}]
    assert diagnosed(fleet)["causes"] == []


UNREAD_PARTS = {
    "the release record could not be read: no permission": {
        "release": None,
        "services": {},
        "states": {},
        "gate": None,
        "written": {},
    },
    "the containers could not be read: no answer": {"services": {}, "states": {}},
    "the workers could not be read: no answer": {"workers": []},
    "what the release's files say now could not be read: broken": {"written": {}},
    "the standby gate could not be read: no permission": {"gate": None},
}


@pytest.mark.parametrize("sentence", UNREAD_PARTS)
def test_a_part_that_a_sentence_calls_unread_blames_nobody_and_rules_nothing_out(fleet: Fleet, sentence: str) -> None:
    before = set(ids(diagnosed(fleet)["ruled_out"], "cause"))
    fleet["data"]["one"]["evidence"].update(UNREAD_PARTS[sentence], unread=[sentence])
    found = diagnosed(fleet)
    assert (found["causes"], found["outcome"]) == ([], "no_cause_found")
    assert set(ids(found["ruled_out"], "cause")) < before


@pytest.mark.parametrize("host", ["one", "other-1"])
def test_a_search_that_could_not_look_everywhere_rules_no_other_worker_out(fleet: Fleet, host: str) -> None:
    words = "the environment of 3 processes (1, 2, 3)"
    fleet["data"][host]["evidence"]["unread"] = [
        words if host != "one" else f"the search for workers could not read {words}"
    ]
    open_questions = {"one": "foreign_here", "other-1": "foreign_known"}
    assert open_questions[host] in ids(diagnosed(fleet)["unknown"], "cause")


def test_an_api_that_nobody_asked_leaves_nothing_unread(fleet: Fleet) -> None:
    for name in ("one", "two"):
        evidence = fleet["data"][name]["evidence"]
        evidence["proxy"].update(requests=0, by_status={})
        evidence["api"].update(read=False, agent_names={}, dispatches=[])
    assert diagnosed(fleet)["outcome"] == "nothing_wrong"


def test_dispatches_older_than_the_workers_log_are_not_called_lost(fleet: Fleet) -> None:
    later = "2026-01-02T03:05:00Z"
    worker = fleet["data"]["one"]["evidence"]["workers"][0]
    worker.update(requests=[], started_at=later, registered_since=later, registrations=[later])
    worker["reach"]["begins"] = NOW - 300
    found = diagnosed(fleet)
    assert (found["causes"], found["outcome"]) == ([], "no_cause_found")
    assert any("older than the logs of the workers" in one["why"] for one in found["unknown"])


def test_a_worker_that_was_only_restarted_still_has_its_log(fleet: Fleet) -> None:
    fleet["data"]["one"]["evidence"]["workers"][0].update(requests=[], started_at="2026-01-02T03:05:00Z")
    assert diagnosed(fleet)["causes"][0]["id"] == "nobody_listened"


# --- one machine under several names of the inventory, as with two applications ---------------------------------------


@pytest.fixture
def machine(fleet: Fleet) -> Fleet:
    """Both hosts are names of one machine: each sees the workers of both."""
    one, two = (fleet["data"][name]["evidence"]["workers"] for name in ("one", "two"))
    fleet["data"]["two"]["evidence"].update(states={"20260102T020405Z-99999999": "serving"})
    fleet["data"]["two"]["evidence"]["release"]["id"] = two[0]["release"] = "20260102T020405Z-99999999"
    one.append(copy.deepcopy(two[0]))
    two.append(copy.deepcopy(one[0]))
    return fleet


@pytest.mark.parametrize("host", ["one", "two"])
def test_workers_of_ours_are_not_foreign_to_the_other_name_of_their_machine(machine: Fleet, host: str) -> None:
    assert (diagnosed(machine, host)["outcome"], diagnosed(machine, host)["causes"]) == ("nothing_wrong", [])


@pytest.mark.parametrize("host", ["one", "two"])
def test_dispatches_are_followed_to_the_host_that_deployed_the_worker(machine: Fleet, host: str) -> None:
    assert [(to["host"], to["own"]) for to in diagnosed(machine, host)["flow"]["to"]] == [(host, True)]


def test_a_foreign_worker_of_the_machine_is_on_the_host_whose_name_it_has(machine: Fleet) -> None:
    foreign("one")(machine)
    machine["data"]["two"]["evidence"]["workers"].append(machine["data"]["one"]["evidence"]["workers"][-1])
    assert ids(diagnosed(machine)["causes"], "id") == ["foreign_here"]


# --- a worker without the hook ----------------------------------------------------------------------------------------


def without_the_hook(fleet: Fleet) -> None:
    fleet["data"]["one"]["hook"] = False
    del fleet["probes"]["one/directed"], fleet["probes"][f"{NAME}/through"]


def test_a_worker_without_the_hook_that_answered_all_is_not_slow(fleet: Fleet) -> None:
    without_the_hook(fleet)
    assert diagnosed(fleet)["outcome"] == "nothing_wrong"


def test_a_worker_without_the_hook_that_nobody_asked_is_not_called_slow_or_quick(fleet: Fleet) -> None:
    without_the_hook(fleet)
    evidence = fleet["data"]["one"]["evidence"]
    evidence["workers"][0]["requests"] = []
    evidence["api"].update(agent_names={}, dispatches=[])
    assert [one["idle"] for one in diagnosed(fleet)["unknown"] if one["cause"] == "slow_handler"] == [True]
