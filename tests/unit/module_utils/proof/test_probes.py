"""Which probes a run sends, from what its hosts' tasks registered."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.inventory import archives
from ansible.module_utils.livekit_deploy.livekit.probe import GivenProbe
from ansible.module_utils.livekit_deploy.play import images
from ansible.module_utils.livekit_deploy.play.run import HostRun, Runs
from ansible.module_utils.livekit_deploy.proof import judge, observations, probes
from ansible.module_utils.livekit_deploy.proof.checks.check import NOT_APPLICABLE
from ansible.module_utils.livekit_deploy.release import records

SAMPLING: probes.Sampling = {"samples": 8, "spacing_seconds": 0.5}
SECONDS = 20.0


def reading(*workers: dict[str, Any], **more: Any) -> Any:
    return {"time": 1.0, "workers": list(workers), **more}


def host(**more: Any) -> dict[str, Any]:
    return {
        "livekit_agent_name": "name-a",
        "ansible_host": "192.0.2.1",
        "livekit_agent_image": "r/worker:1",
        "agent_api_image": "r/api@sha256:aa",
        **more,
    }


def test_only_images_with_a_tag_are_resolved() -> None:
    assert archives.tagged_images({"a": host(), "b": host(livekit_agent_image="r/w@sha256:bb")}, ["a", "b"]) == [
        "r/worker:1"
    ]


def test_image_from_an_archive_is_no_tag_to_resolve() -> None:
    assert archives.tagged_images({"a": host(agent_release_image_archives={"r/worker:1": "worker.tar"})}, ["a"]) == []


def test_standby_probe_goes_to_the_instance_that_was_just_started() -> None:
    hostvars = {"a": host(__agent_release_worker=reading({"agent_name": "name-a", "instance": "a/id1"})), "b": host()}
    expected = [{"id": "a/directed", "mode": "answer_if", "agent_name": "name-a", "instance": "a/id1", "tries": 2}]
    assert probes.standby_probes(Runs(hostvars), ["a", "b"], ["a", "b"])[:1] == expected


def test_skipped_task_is_no_reading() -> None:
    assert (
        probes.standby_probes(
            Runs({"a": host(__agent_release_worker={"skipped": True, "changed": False})}), ["a"], ["a"]
        )
        == []
    )
    unregistered = {**reading({"agent_name": None, "instance": "a/id1"}), "failed": True, "msg": "has not registered"}
    assert probes.standby_probes(Runs({"a": host(__agent_release_worker=unregistered)}), ["a"], ["a"]) == []


def test_reading_after_the_switch_comes_before_the_one_at_the_start() -> None:
    variables = host(
        __agent_release_state=reading(release={"id": "old"}), __agent_release_switched=reading(release={"id": "new"})
    )
    assert HostRun("a", variables).record()["id"] == "new"


def test_verification_probes_every_host_and_a_random_name_once() -> None:
    hostvars = {h: host(__verification_read=reading(release={"id": "id1"})) for h in ("a", "b")}
    ids = [probe["id"] for probe in probes.verification_probes(Runs(hostvars), ["a", "b"], SECONDS, SAMPLING)]
    assert ids == ["nobody", "name-a/through", "a/directed", "a/preview", "b/directed", "b/preview"]


def test_preview_goes_through_the_proxy_of_the_host() -> None:
    hostvars = {"a": host(__verification_read=reading(release={"id": "id1"}))}
    assert (
        probes.verification_probes(Runs(hostvars), ["a"], SECONDS, SAMPLING)[-1]["request"]["url"]
        == "http://192.0.2.1:80/v1/preview"
    )


def test_host_without_a_release_gets_no_probe() -> None:
    hostvars = {"a": host(__verification_read=reading(release=None))}
    assert [probe["id"] for probe in probes.verification_probes(Runs(hostvars), ["a"], SECONDS, SAMPLING)] == ["nobody"]


def test_preview_that_is_switched_off_is_not_sent() -> None:
    hostvars = {"a": host(__verification_read=reading(release={"id": "id1"}))}
    found = probes.verification_probes(Runs(hostvars), ["a"], None, SAMPLING)
    assert [probe["id"] for probe in found] == ["nobody", "name-a/through", "a/directed"]


def test_worker_recorded_as_draining_does_not_count_as_serving() -> None:
    first = reading(
        {"release": "old"}, {"release": "new"}, release={"id": "new"}, states={"old": "draining", "new": "serving"}
    )
    hostvars = {
        "a": host(__verification_read=first, __verification_witness=reading({"release": "old"}, {"release": "new"}))
    }
    found = observations.observations(Runs(hostvars), ["a"])["a"]
    assert [[w["release"] for w in r["workers"]] for r in found["readings"]] == [["new"], ["new"]]


def test_worker_behind_its_gate_is_kept_apart() -> None:
    first = reading(
        {"release": "old"}, {"release": "new"}, release={"id": "new"}, states={"old": "draining", "new": "serving"}
    )
    hostvars = {
        "a": host(__verification_read=first, __verification_witness=reading({"release": "old"}, {"release": "new"}))
    }
    assert observations.observations(Runs(hostvars), ["a"])["a"]["behind"] == [{"release": "old"}]


def test_stray_worker_of_a_retired_release_still_counts() -> None:
    first = reading({"release": "old"}, release={"id": "new"}, states={"old": "retired", "new": "serving"})
    assert observations.observations(Runs({"a": host(__verification_read=first)}), ["a"])["a"]["readings"][0][
        "workers"
    ] == [{"release": "old"}]


def test_own_ids_are_those_of_every_release_of_ours_and_of_before_a_reconnect() -> None:
    mine: Any = {"release": "new", "worker_ids": ["AW_1", "AW_2"], "worker_id": "AW_2"}
    old = {"release": "old", "worker_ids": ["AW_0"], "worker_id": "AW_0"}
    foreign = {"release": None, "worker_ids": ["AW_x"], "worker_id": "AW_x"}
    assert observations.own_ids([reading(mine, old, foreign)], {"new": "serving", "old": "draining"}) == [
        "AW_0",
        "AW_1",
        "AW_2",
    ]


def test_only_hosts_of_the_same_pool_outside_the_run_are_read() -> None:
    hostvars = {"a": host(livekit_agent_pool="p"), "b": host(livekit_agent_pool="p"), "c": host()}
    assert observations.outside(Runs(hostvars), ["a", "b", "c"], ["a"]) == ["b"]


def test_host_outside_the_run_that_could_not_be_read_is_said_so() -> None:
    hostvars = {"a": host(__verification_read=reading(release=None)), "b": host()}
    lost: Any = {"__verification_host": "b", "unreachable": True}
    found = observations.observations(Runs(hostvars), ["a"], [lost])["b"]
    assert (found["outside"], found["readable"]) == (True, False)


def test_instances_of_the_whole_pool_pass_the_probe_on() -> None:
    hostvars = {"a": host(__verification_read=reading(release={"id": "id1"})), "b": host()}
    outside: Any = {"__verification_host": "b", "workers": [], "release": {"id": "id2"}}
    found = probes.through_probes(Runs(hostvars), ["a"], [outside])
    assert [probe["instances"] for probe in found] == [["a/id1", "b/id2"]]


def test_host_that_could_not_be_read_says_why_in_the_words_of_the_module() -> None:
    hostvars = {
        "a": host(
            __verification_read={"failed": False, "msg": "no Docker"}, __verification_witness={"msg": "no Docker"}
        )
    }
    found = observations.observations(Runs(hostvars), ["a"])["a"]
    assert (found["error"], found["drift"]) == ("no Docker", None)


def test_reading_that_was_skipped_because_the_caller_has_it_is_no_trouble() -> None:
    hostvars = {
        "a": host(
            __verification_read={"skipped": True}, __agent_release_state=reading(), __verification_witness=reading()
        )
    }
    assert observations.observations(Runs(hostvars), ["a"])["a"]["error"] == ""


# --- workers without the hook ---


def hookless(**more: Any) -> dict[str, Any]:
    return host(livekit_agent_hook=False, **more)


def serving(*workers: dict[str, Any]) -> dict[str, Any]:
    known = workers or ({"release": "id1", "running": True},)
    return reading(*known, release={"id": "id1"}, states={"id1": "serving", "id0": "draining"})


def sent(hostvars: dict[str, Any], hosts: list[str], samples: int = 8) -> dict[str, GivenProbe]:
    found = probes.verification_probes(Runs(hostvars), hosts, None, {**SAMPLING, "samples": samples})
    return {probe["id"]: probe for probe in found}


def test_name_of_a_worker_without_the_hook_is_sampled_and_gets_no_other_probe() -> None:
    found = sent({"a": hookless(__verification_read=serving())}, ["a"])
    assert list(found) == ["nobody", "name-a/sample"]
    assert {"kind": "plain", "count": 8, "spacing_seconds": 0.5}.items() <= found["name-a/sample"].items()


def test_pool_with_and_without_the_hook_is_sampled_as_a_whole() -> None:
    hostvars = {"a": hookless(__verification_read=serving()), "b": host(__verification_read=serving())}
    assert list(sent(hostvars, ["a", "b"])) == ["nobody", "name-a/sample"]


def test_hook_of_one_name_does_not_depend_on_another() -> None:
    other = host(livekit_agent_name="name-b", __verification_read=serving())
    assert list(sent({"a": hookless(__verification_read=serving()), "b": other}, ["a", "b"])) == [
        "nobody",
        "name-b/through",
        "name-a/sample",
        "b/directed",
    ]


def test_every_worker_of_ours_that_takes_jobs_has_its_share_of_the_samples() -> None:
    old_and_new = serving(
        {"release": "id1", "running": True}, {"release": "id0", "running": True}, {"release": None, "running": True}
    )
    assert sent({"a": hookless(__verification_read=old_and_new)}, ["a"])["name-a/sample"]["count"] == 16


def test_draining_worker_has_no_share_of_the_samples() -> None:
    draining = serving({"release": "id1", "running": True}, {"release": "id0", "running": True, "draining": True})
    assert sent({"a": hookless(__verification_read=draining)}, ["a"])["name-a/sample"]["count"] == 8


def test_no_samples_means_that_nothing_is_sent() -> None:
    assert list(sent({"a": hookless(__verification_read=serving())}, ["a"], samples=0)) == ["nobody"]


@pytest.mark.parametrize(("value", "hooked"), [(True, ["a"]), ("true", ["a"]), (False, []), ("false", []), ("no", [])])
def test_switch_may_come_from_the_command_line(value: Any, hooked: list[str]) -> None:
    assert probes.hooked(Runs({"a": host(livekit_agent_hook=value)}), ["a"], ["a"]) == hooked


PLANNED = {"plan": {"changed": True, "agent_name": "name-a", "rolled_back": None}}


def deployed(before: bool, **more: Any) -> dict[str, Any]:
    """A host that was just switched to a release with the hook, from one whose record says whether it had it."""
    new = serving({"release": "id1", "running": True}, {"release": "id0", "running": True})
    state = {**reading(release={"id": "id0", "hook": before}), **PLANNED}
    return host(__agent_release_state=state, __agent_release_switched=new, **more)


@pytest.mark.parametrize(
    ("before", "ids"), [(True, ["nobody", "name-a/through", "a/directed"]), (False, ["nobody", "name-a/sample"])]
)
def test_old_worker_without_the_hook_beside_the_new_one_makes_it_a_sampling(before: bool, ids: list[str]) -> None:
    assert list(sent({"a": deployed(before)}, ["a"])) == ids


def test_old_worker_without_the_hook_under_another_name_makes_it_no_sampling() -> None:
    renamed = deployed(False)
    renamed["__agent_release_state"]["release"]["agent_name"] = "name-b"
    assert list(sent({"a": renamed}, ["a"])) == ["nobody", "name-a/through", "a/directed"]


def test_old_worker_without_the_hook_gets_no_standby_probe_beside_it() -> None:
    new = reading({"agent_name": "name-a", "instance": "a/id1"})
    assert probes.standby_probes(Runs({"a": deployed(False, __agent_release_worker=new)}), ["a"], ["a"]) == []


def test_record_of_a_release_that_stays_does_not_decide() -> None:
    stays = host(__agent_release_state={**serving(), "plan": {**PLANNED["plan"], "changed": False}})
    stays["__agent_release_state"]["release"]["hook"] = False
    assert probes.hooked(Runs({"a": stays}), ["a"], ["a"]) == ["a"]


def test_host_outside_the_run_that_still_has_no_hook_makes_it_a_sampling() -> None:
    outside: Any = {"__verification_host": "b", **serving()}
    outside["release"] = {"id": "id1", "hook": False}
    hostvars = {"a": host(__verification_read=serving()), "b": host()}
    found = probes.verification_probes(Runs(hostvars), ["a"], None, SAMPLING, [outside])
    assert [(probe["id"], probe.get("count")) for probe in found] == [("nobody", None), ("name-a/sample", 16)]


def test_new_worker_beside_one_without_the_hook_gets_no_standby_probe() -> None:
    hostvars = {
        "a": host(__agent_release_worker=reading({"agent_name": "name-a", "instance": "a/id1"})),
        "b": hookless(),
    }
    assert probes.standby_probes(Runs(hostvars), ["a", "b"], ["a"]) == []


# --- before the first worker of a name ---


def before(*workers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return host(__agent_release_state=reading(*workers, states={"id1": "serving"}, release=None), **more)


def asked(hostvars: dict[str, Any]) -> list[str]:
    return [probe["id"] for probe in probes.vacancy_probes(Runs(hostvars), list(hostvars))]


OURS: dict[str, Any] = {"release": "id1", "running": True, "agent_name": "name-a", "worker_ids": ["AW_1"]}


@pytest.mark.parametrize(
    ("hostvars", "expected"),
    [
        pytest.param({"a": before()}, ["name-a/vacancy"], id="no worker"),
        pytest.param({"a": before(), "b": before()}, ["name-a/vacancy"], id="once for a pool"),
        pytest.param({"a": before(OURS)}, [], id="it serves"),
        pytest.param({"a": before(), "b": before(OURS)}, [], id="another host of the pool serves"),
        pytest.param({"a": before(), "b": host()}, [], id="another host of the pool was not read"),
        pytest.param({"a": before({**OURS, "running": False})}, ["name-a/vacancy"], id="stopped"),
        pytest.param({"a": before({**OURS, "release": None})}, ["name-a/vacancy"], id="somebody else's container"),
        pytest.param({"a": before({**OURS, "agent_name": "before"})}, ["name-a/vacancy"], id="a new name"),
        pytest.param(
            {"a": before({**OURS, "agent_name": None, "env": {"LIVEKIT_AGENT_NAME": "name-a"}})},
            [],
            id="the registration line rotated away",
        ),
    ],
)
def test_only_a_name_that_nobody_of_us_serves_is_asked_for(hostvars: dict[str, Any], expected: list[str]) -> None:
    assert asked(hostvars) == expected


def trouble(answer: Any, accept: bool = False) -> str:
    hostvars = {"a": before(), "b": before(OURS, livekit_agent_name="name-b")}
    return probes.vacancy_trouble(Runs(hostvars), ["a", "b"], "a", {"name-a/vacancy": answer}, accept)


def test_name_that_finds_nobody_is_free() -> None:
    assert trouble({"outcome": "nobody"}) == ""


def test_own_worker_under_the_name_is_no_trouble() -> None:
    assert trouble({"outcome": "taken", "worker_id": "AW_1"}) == ""


@pytest.mark.parametrize("text", ["found: AW_x has the name 'name-a'", "expected that nobody", "-e evict_worker=AW_x"])
def test_somebody_else_under_the_name_is_named_with_what_to_do(text: str) -> None:
    assert text in trouble({"outcome": "taken", "worker_id": "AW_x"}, accept=True)


@pytest.mark.parametrize(("accept", "refused"), [(False, True), (True, False)])
def test_probe_without_an_answer_refuses_unless_inconclusive_is_accepted(accept: bool, refused: bool) -> None:
    assert bool(trouble({"outcome": "error", "reason": "refused"}, accept)) is refused


def test_taker_that_the_server_does_not_name_is_trouble() -> None:
    assert trouble({"outcome": "taken", "worker_id": None}).startswith("found: a worker has the name")


def test_host_whose_name_was_not_asked_for_has_no_trouble() -> None:
    assert probes.vacancy_trouble(Runs({"a": before(OURS)}), ["a"], "a", {}) == ""


def test_record_of_a_new_release_keeps_the_ids_of_the_workers_before_it() -> None:
    state = reading(OURS, states={"id1": "serving"}, release={"id": "id1", "earlier_worker_ids": ["AW_0"]})
    assert records.earlier_worker_ids(state) == ["AW_0", "AW_1"]


def test_record_keeps_the_newest_ids_of_a_storm() -> None:
    storm = {**OURS, "worker_ids": [f"AW_{number}" for number in range(300)]}
    kept = records.earlier_worker_ids(reading(storm, states={"id1": "serving"}))
    assert (len(kept), kept[-1]) == (100, "AW_299")


def test_ids_that_the_record_kept_are_ours() -> None:
    state = reading(OURS, states={"id1": "serving"}, release={"id": "id1", "earlier_worker_ids": ["AW_0"]})
    assert observations.own_ids([state], {"id1": "serving"}) == ["AW_0", "AW_1"]


# --- a worker that nobody deployed ---


def unmanaged(*workers: dict[str, Any]) -> Any:
    known = workers or ({"release": "unmanaged", "running": True, "worker_ids": ["AW_1"], "agent_name": "name-a"},)
    record = {"id": "unmanaged", "agent_name": "name-a", "hook": False, "unmanaged": True, "services": ["agent-worker"]}
    adopted = {"shop-agent-1": "unmanaged"}
    return reading(*known, release=record, states={"unmanaged": "serving"}, adopted=adopted, missing=["nginx"])


def sample(found: Any, **sampling: Any) -> Any:
    hostvars = {"a": host(__verification_read=found)}
    ways: Any = {**SAMPLING, **sampling}
    sent_probes = probes.verification_probes(Runs(hostvars), ["a"], SECONDS, ways)
    assert [probe["id"] for probe in sent_probes][1:] in ([], ["name-a/sample"])
    return sent_probes[1] if sent_probes[1:] else None


def test_worker_that_nobody_deployed_is_asked_by_a_dozen_dispatches_in_turn() -> None:
    found = sample(unmanaged())
    assert (found["kind"], found["count"], found["in_turn"], found["own_ids"]) == ("plain", 12, True, ["AW_1"])


def test_dispatches_go_on_where_shares_are_asked_for() -> None:
    assert "own_ids" not in sample(unmanaged(), shares=True)


def test_no_dispatch_goes_out_where_none_is_wanted() -> None:
    assert sample(unmanaged(), samples=0) is None


def test_what_needs_a_release_is_not_applicable_to_it() -> None:
    hostvars = {"a": host(__verification_read=unmanaged(), __verification_witness=unmanaged())}
    given = observations.observations(Runs(hostvars), ["a"])
    (row,) = judge.judge(given, {})["report"].values()
    said = {check["name"]: (check["ok"], check["found"]) for check in row["checks"]}
    assert [said[name] for name in ("environment", "preview", "drift")] == [(True, NOT_APPLICABLE)] * 3
    assert row["release"] == "unmanaged"


# --- what was observed ---


def test_host_outside_the_run_is_known_by_both_of_its_readings() -> None:
    entries: Any = [
        {"__verification_host": "b", "states": {"id1": "serving"}, **reading({**OURS, "worker_ids": [worker_id]})}
        for worker_id in ("AW_before", "AW_after")
    ]
    found = observations.observations(Runs({"b": host()}), [], entries)["b"]
    assert (found["own_ids"], found["readable"]) == (["AW_after", "AW_before"], True)


def test_server_of_another_run_is_not_read() -> None:
    hostvars = {"one": {}, "same": {"livekit_url": "wss://x/"}, "other": {"livekit_url": "wss://y"}}
    assert observations.servers(Runs(hostvars), ["one", "same", "other"], "wss://x") == ["one", "same"]


def test_log_that_could_not_be_read_keeps_its_reason() -> None:
    assert observations.server_logs([{"__verification_server": "s", "msg": "no unit", "failed": False}]) == [
        {"host": "s", "msg": "no unit"}
    ]


BEHIND: dict[str, Any] = {"__agent_release_state": {**serving(OURS), **PLANNED}}


def test_host_whose_deployment_failed_gets_no_probe_and_its_old_worker_stays_ours() -> None:
    hostvars = {"a": host(**BEHIND), "b": host(__verification_read=serving())}
    found = sent(hostvars, ["a", "b"])
    assert list(found) == ["nobody", "name-a/through", "b/directed"]
    assert found["name-a/through"]["instances"] == ["a/id1", "b/id1"]


def test_host_whose_deployment_failed_gets_no_row() -> None:
    found = observations.observations(Runs({"a": host(**BEHIND)}), ["a"])["a"]
    assert (found["outside"], found["own_ids"]) == (True, ["AW_1"])


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"__agent_release_switched": serving(OURS)}, id="switched"),
        pytest.param(
            {"__agent_release_state": {**serving(OURS), "plan": {**PLANNED["plan"], "changed": False}}}, id="unchanged"
        ),
    ],
)
def test_host_that_was_deployed_or_unchanged_gets_a_row(more: dict[str, Any]) -> None:
    assert "outside" not in observations.observations(Runs({"a": host(**{**BEHIND, **more})}), ["a"])["a"]


# --- what is not as the inventory says, on purpose ---

SHARED = {"kind": "shared_name", "at": "2026-01-01T00:00:00Z", "to": "id1", "from_agent_name": "name-a"}


def rolled_back(worker: str = "AW_1", **more: Any) -> dict[str, Any]:
    """A host that serves the shared name, while its inventory still has its own."""
    found = serving({**OURS, "worker_ids": [worker]})
    found["release"] = {"id": "id1", "agent_name": "shared", "rolled_back": SHARED}
    return host(__verification_read=found, **more)


def test_host_that_was_rolled_back_is_asked_for_under_the_name_it_serves() -> None:
    found = sent({"a": rolled_back()}, ["a"])
    assert (found["a/directed"]["agent_name"], found["shared/through"]["instances"]) == ("shared", ["a/id1"])


def test_directed_probe_to_a_shared_name_is_tried_again() -> None:
    assert sent({"a": rolled_back()}, ["a"])["a/directed"]["tries"] == probes.SHARED_TRIES
    assert "tries" not in sent({"a": host(__verification_read=serving())}, ["a"])["a/directed"]


def test_hosts_that_were_rolled_back_to_one_name_are_one_pool() -> None:
    found = observations.observations(Runs({"a": rolled_back(), "b": rolled_back("AW_2")}), ["a", "b"])
    assert (found["a"]["pool"], found["a"]["on_purpose"]) == (found["b"]["pool"], SHARED)


def test_host_outside_that_may_have_the_shared_name_is_read() -> None:
    assert observations.outside(
        Runs({"a": rolled_back(), "b": host(livekit_agent_pool="other")}), ["a", "b"], ["a"]
    ) == ["b"]


def test_next_release_is_the_inventorys_again() -> None:
    back = HostRun("a", rolled_back(__agent_release_state={**serving(OURS), **PLANNED}))
    assert (back.agent_name(), back.purpose()) == ("name-a", None)


def test_nobody_has_to_be_absent_from_a_shared_name() -> None:
    plan = {"plan": {"changed": True, "agent_name": "shared", "rolled_back": SHARED}}
    assert asked({"a": host(__agent_release_state={**reading(states={}, release=None), **plan})}) == []


# --- an adopted project ----------------------------------------------------------------------------------------------

SEED = {
    "project": "seed",
    "container": "seed-bot-1",
    "release": None,
    "running": True,
    "worker_id": "AW_S",
    "worker_ids": ["AW_S"],
}


def adopted(state: str, witness: dict[str, Any] = SEED) -> dict[str, Any]:
    """A host whose adopted project is in a state, read at first with, and then without the knowledge of it."""
    known = {
        "release": {"id": "id0", "adopted": {"project": "seed"}, "services": ["agent-worker"]},
        "states": {"id0": state},
        "adopted": {"seed-bot-1": "id0"},
    }
    return host(
        __verification_read=reading({**SEED, "release": "id0"}, **known), __verification_witness=reading(witness)
    )


def test_worker_of_an_adopted_project_is_known_in_every_reading() -> None:
    found = observations.observations(Runs({"a": adopted("serving")}), ["a"])["a"]
    assert [worker["release"] for each in found["readings"] for worker in each["workers"]] == ["id0", "id0"]
    assert (found["adopted"], found["own_ids"]) == (True, ["AW_S"])


def test_worker_of_an_adopted_project_that_drains_is_in_charge_of_nothing() -> None:
    found = observations.observations(Runs({"a": adopted("draining")}), ["a"])["a"]
    assert [each["workers"] for each in found["readings"]] == [[], []]
    assert [worker["worker_id"] for worker in found["behind"]] == ["AW_S"]


def test_id_that_it_got_between_two_readings_is_ours() -> None:
    found = observations.observations(
        Runs({"a": adopted("serving", {**SEED, "worker_ids": ["AW_T"], "worker_id": "AW_T"})}), ["a"]
    )["a"]
    assert found["own_ids"] == ["AW_S", "AW_T"]


def test_adopted_project_without_an_api_gets_no_preview() -> None:
    ids = [
        probe["id"] for probe in probes.verification_probes(Runs({"a": adopted("serving")}), ["a"], SECONDS, SAMPLING)
    ]
    assert "a/preview" not in ids


ONCE, EACH = "__agent_release_digests_once", "__agent_release_digests_each"
RESOLVED, AWAY = {"digests": {"r/a:1": "r/a@sha256:1"}}, {"unreachable": True, "msg": "no route to host"}


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ({ONCE: RESOLVED}, {ONCE: RESOLVED}, RESOLVED),
        ({ONCE: AWAY}, {ONCE: AWAY, EACH: RESOLVED}, RESOLVED),
        ({ONCE: AWAY}, {ONCE: AWAY, EACH: {"msg": "no image r/a:1"}}, {"msg": "no image r/a:1"}),
        ({ONCE: RESOLVED, EACH: {"skipped": True}}, {ONCE: RESOLVED, EACH: {"skipped": True}}, RESOLVED),
        ({ONCE: {"skipped": True}}, {ONCE: {"skipped": True}}, {}),
    ],
    ids=["by the first", "the first is away", "nobody can", "each was not asked", "nothing to resolve"],
)
def test_tags_are_resolved_for_all_hosts_by_the_first_that_can(
    first: dict[str, Any], second: dict[str, Any], found: dict[str, Any]
) -> None:
    assert images.digests(Runs({"a": first, "b": second}), ["a", "b"]) == found


def test_worker_of_an_earlier_release_that_still_runs_is_to_pass_the_probe_on_too() -> None:
    old = {"release": "id0", "running": True, "agent_name": "name-a", "instance": "a/id0"}
    others = [
        {**old, "running": False, "instance": "a/id9"},
        {**old, "agent_name": "b", "instance": "a/id8"},
        {**old, "release": None},
    ]
    hostvars = {"a": host(__verification_read=serving({"release": "id1", "running": True}, old, *others))}
    assert sent(hostvars, ["a"])["name-a/through"]["instances"] == ["a/id1", "a/id0"]


# --- an API that the controller does not reach ---


UNREACHED: Any = {
    "kind": "preview",
    "outcome": "error",
    "error_kind": "not_reached",
    "reason": "http://a refuses the connection; expected x; do y",
}
ASKED = {"status": 200, "content": '{"room": "r"}', "url": "http://127.0.0.1:80/v1/preview"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (UNREACHED, ["a"]),
        ({**UNREACHED, "error_kind": "tls"}, []),
        ({**UNREACHED, "error_kind": "preview"}, []),
        ({}, []),
    ],
)
def test_only_an_api_that_got_no_connection_is_asked_from_its_host(answer: Any, expected: list[str]) -> None:
    assert probes.unreached(Runs({"a": host()}), ["a"], {"a/preview": answer}) == expected


def test_answer_that_the_host_got_is_looked_at_on_the_controller() -> None:
    hostvars = {"a": host(__verification_asked=ASKED, verification_preview={"headers": {"X-Key": "k"}})}
    (probe,) = probes.own_previews(Runs(hostvars), ["a"], {"a/preview": UNREACHED}, SECONDS)
    assert (probe["id"], probe["kind"], probe["agent_name"]) == ("a/preview", "preview", "name-a")
    assert (probe["answer"], probe["request"]["url"]) == (
        {"status": 200, "text": '{"room": "r"}'},
        "http://127.0.0.1:80/v1/preview on a",
    )
    assert probe["request"]["headers"] == {}


@pytest.mark.parametrize("asked", [{"status": 0, "content": "refused"}, {"msg": "no Python"}, {"skipped": True}])
def test_host_that_got_no_answer_either_is_named_with_both(asked: dict[str, Any]) -> None:
    hostvars = {"a": host(__verification_asked=asked)}
    assert probes.own_previews(Runs(hostvars), ["a"], {"a/preview": UNREACHED}, SECONDS) == []
    answer = probes.preview_answers(Runs(hostvars), ["a"], {"a/preview": UNREACHED}, {})["a/preview"]
    own = asked.get("content") or asked.get("msg") or "it was not asked"
    assert (
        answer["reason"]
        == f"no connection from the controller (http://a refuses the connection), and none from a itself ({own})"
    )
    assert answer["error_kind"] == "not_reached"


def test_preview_from_the_host_counts_and_says_so() -> None:
    second: Any = {"outcome": "taken", "in_room": True, "reason": "job"}
    others: Any = {"nobody": {"outcome": "nobody"}}
    found = probes.preview_answers(
        Runs({"a": host(__verification_asked=ASKED)}), ["a"], {**others, "a/preview": UNREACHED}, {"a/preview": second}
    )
    assert found == {**others, "a/preview": {**second, "from_host": "http://a refuses the connection"}}


def test_answers_of_an_earlier_use_of_the_role_do_not_count() -> None:
    first: Any = {"a/preview": {"outcome": "taken"}}
    assert (
        probes.preview_answers(
            Runs({"a": host(__verification_asked=ASKED)}), ["a"], first, {"a/preview": {"outcome": "error"}}
        )
        == first
    )
