"""Which probes a run sends, from what its hosts' tasks registered."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.livekit_deploy import probes

PREVIEW = {"enabled": True, "port": 80, "path": "/v1/preview", "deadline_seconds": 20}


def reading(*workers: dict[str, Any], **more: Any) -> dict[str, Any]:
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
    assert probes.tagged_images({"a": host(), "b": host(livekit_agent_image="r/w@sha256:bb")}, ["a", "b"]) == ["r/worker:1"]


def test_standby_probe_goes_to_the_instance_that_was_just_started() -> None:
    hostvars = {"a": host(__livekit_agent_worker=reading({"agent_name": "name-a", "instance": "a/id1"})), "b": host()}
    expected = [{"id": "a/directed", "mode": "answer_if", "agent_name": "name-a", "instance": "a/id1"}]
    assert probes.standby_probes(hostvars, ["a", "b"]) == expected


def test_skipped_task_is_no_reading() -> None:
    assert probes.standby_probes({"a": host(__livekit_agent_worker={"skipped": True, "changed": False})}, ["a"]) == []


def test_reading_after_the_switch_comes_before_the_one_at_the_start() -> None:
    variables = host(__agent_release_state=reading(release={"id": "old"}), __agent_release_switched=reading(release={"id": "new"}))
    assert probes.reading_of(variables)["release"]["id"] == "new"


def test_verification_probes_every_host_and_a_random_name_once() -> None:
    hostvars = {h: host(__verification_read=reading(release={"id": "id1"})) for h in ("a", "b")}
    ids = [probe["id"] for probe in probes.verification_probes(hostvars, ["a", "b"], PREVIEW)]
    assert ids == ["nobody", "name-a/through", "a/directed", "a/preview", "b/directed", "b/preview"]


def test_preview_goes_through_the_proxy_of_the_host() -> None:
    hostvars = {"a": host(__verification_read=reading(release={"id": "id1"}))}
    assert probes.verification_probes(hostvars, ["a"], PREVIEW)[-1]["request"] == {"url": "http://192.0.2.1:80/v1/preview"}


def test_host_without_a_release_gets_no_probe() -> None:
    hostvars = {"a": host(__verification_read=reading(release=None))}
    assert [probe["id"] for probe in probes.verification_probes(hostvars, ["a"], PREVIEW)] == ["nobody"]


def test_preview_that_is_switched_off_is_not_sent() -> None:
    hostvars = {"a": host(__verification_read=reading(release={"id": "id1"}))}
    found = probes.verification_probes(hostvars, ["a"], {**PREVIEW, "enabled": False})
    assert [probe["id"] for probe in found] == ["nobody", "name-a/through", "a/directed"]


def test_worker_recorded_as_draining_does_not_count_as_serving() -> None:
    first = reading({"release": "old"}, {"release": "new"}, release={"id": "new"}, states={"old": "draining", "new": "serving"})
    hostvars = {"a": host(__verification_read=first, __verification_witness=reading({"release": "old"}, {"release": "new"}))}
    found = probes.observations(hostvars, ["a"])["a"]
    assert [[w["release"] for w in r["workers"]] for r in found["readings"]] == [["new"], ["new"]]


def test_stray_worker_of_a_retired_release_still_counts() -> None:
    first = reading({"release": "old"}, release={"id": "new"}, states={"old": "retired", "new": "serving"})
    assert probes.observations({"a": host(__verification_read=first)}, ["a"])["a"]["readings"][0]["workers"] == [{"release": "old"}]


def test_own_ids_are_those_of_every_release_of_ours_and_of_before_a_reconnect() -> None:
    mine = {"release": "new", "worker_ids": ["AW_1", "AW_2"], "worker_id": "AW_2"}
    old = {"release": "old", "worker_ids": ["AW_0"], "worker_id": "AW_0"}
    foreign = {"release": None, "worker_ids": ["AW_x"], "worker_id": "AW_x"}
    assert probes.own_ids([reading(mine, old, foreign)], {"new": "serving", "old": "draining"}) == ["AW_0", "AW_1", "AW_2"]


def test_only_hosts_of_the_same_pool_outside_the_run_are_read() -> None:
    hostvars = {"a": host(livekit_agent_pool="p"), "b": host(livekit_agent_pool="p"), "c": host()}
    assert probes.outside(hostvars, ["a", "b", "c"], ["a"]) == ["b"]


def test_host_outside_the_run_that_could_not_be_read_is_said_so() -> None:
    hostvars = {"a": host(__verification_read=reading(release=None)), "b": host()}
    found = probes.observations(hostvars, ["a"], [{"__verification_host": "b", "unreachable": True}])["b"]
    assert (found["outside"], found["readable"]) == (True, False)


def test_instances_of_the_whole_pool_pass_the_probe_on() -> None:
    hostvars = {"a": host(__verification_read=reading(release={"id": "id1"})), "b": host()}
    found = probes.through_probes(hostvars, ["a"], [{"__verification_host": "b", "workers": [], "release": {"id": "id2"}}])
    assert [probe["instances"] for probe in found] == [["a/id1", "b/id2"]]


def test_host_that_could_not_be_read_says_why_in_the_words_of_the_module() -> None:
    hostvars = {"a": host(__verification_read={"failed": False, "msg": "no Docker"}, __verification_witness={"msg": "no Docker"})}
    found = probes.observations(hostvars, ["a"])["a"]
    assert (found["error"], found["drift"]) == ("no Docker", None)


def test_reading_that_was_skipped_because_the_caller_has_it_is_no_trouble() -> None:
    hostvars = {"a": host(__verification_read={"skipped": True}, __agent_release_state=reading(), __verification_witness=reading())}
    assert probes.observations(hostvars, ["a"])["a"]["error"] == ""
