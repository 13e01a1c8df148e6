# SPDX-License-Identifier: Apache-2.0
"""The probes' decisions, and one probe's life against a server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.livekit import client, dispatch, errors, preview_request, probe, watch
from ansible.module_utils.livekit_deploy.livekit.errors import LiveKitError
from ansible.module_utils.livekit_deploy.livekit.probe import Probe, ProbeResult, ProbeSpec

URL = "ws://127.0.0.1:7880"
JOB = {"id": "AJ_1", "worker_id": "AW_1", "status": "JS_SUCCESS", "identity": "agent-AJ_1"}
# Who is in the room, and whether the media connection stands.
AGENT, SILENT = {"agent-AJ_1": True}, {"agent-AJ_1": False}


def given(**changes: Any) -> Any:
    return {"id": "p", "kind": "probe", "agent_name": "support", **changes}


# --- metadata


def metadata(**changes: Any) -> dict[str, Any]:
    answer = json.loads(probe.probe_metadata(given(**changes), "n1"))
    assert answer.pop("about") == probe.ABOUT
    return dict(answer)


METADATA = [
    ({}, {"livekit_deploy_probe": 1, "nonce": "n1", "mode": "answer"}),
    ({"mode": "pass"}, {"livekit_deploy_probe": 1, "nonce": "n1", "mode": "pass"}),
    (
        {"mode": "answer_if", "instance": "a/r1", "release": "r1"},
        {"livekit_deploy_probe": 1, "nonce": "n1", "mode": "answer_if", "instance": "a/r1", "release": "r1"},
    ),
    ({"kind": "plain"}, {"livekit_deploy_dispatch": 1, "nonce": "n1"}),
]


@pytest.mark.parametrize(("changes", "wanted"), METADATA)
def test_metadata_says_what_is_asked(changes: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert metadata(**changes) == wanted


def test_metadata_of_the_user_is_sent_as_it_is() -> None:
    assert probe.probe_metadata(given(kind="plain", metadata="user-7"), "n1") == "user-7"


# --- what is sent


def test_a_count_makes_spaced_dispatches_with_rooms_of_their_own() -> None:
    specs = probe.probe_specs([given(kind="plain", count=3, spacing_seconds=0.5)], 10.0)
    assert [(spec.id, spec.start_after) for spec in specs] == [("p/1", 0.0), ("p/2", 0.5), ("p/3", 1.0)]
    assert len({spec.room for spec in specs}) == 3
    assert all(spec.nonce in spec.metadata for spec in specs)


def test_dispatches_in_turn_wait_only_for_the_one_before() -> None:
    specs = probe.probe_specs([given(kind="plain", count=3, spacing_seconds=0.2, in_turn=True, own_ids=["AW_1"])], 10.0)
    assert [(spec.turn, spec.start_after, spec.own_ids) for spec in specs] == [
        ("p", 0.0, {"AW_1"}),
        ("p", 0.2, {"AW_1"}),
        ("p", 0.2, {"AW_1"}),
    ]


def test_what_goes_out_in_turn_is_together_and_the_rest_each_for_itself() -> None:
    specs = probe.probe_specs([given(id="a"), given(id="b", kind="plain", count=2, in_turn=True)], 10.0)
    turns = dispatch.in_turns([Probe(spec, probe.blank_result(spec), [0]) for spec in specs])
    assert [[one.spec.id for one in turn] for turn in turns] == [["a"], ["b/1", "b/2"]]


def test_who_waits_longest_is_started_first() -> None:
    specs = probe.probe_specs([given(), given(id="nobody", expect="nobody", agent_name=None)], 10.0)
    assert [spec.id for spec in specs] == ["nobody", "p"]
    assert specs[0].agent_name.startswith("nobody-")


def test_a_room_outlives_the_window() -> None:
    assert probe.probe_specs([given()], 10.0)[0].empty_timeout > 10


PROBLEMS = [
    ([given()], None),
    ([given(), given()], "probe id 'p' is used twice"),
    ([given(count=2), given(id="p/2")], "probe id 'p/2' is used twice"),
    ([given(agent_name="")], "agent_name is missing or empty"),
    ([given(agent_name=None, expect="nobody")], None),
    ([given(mode="answer_if")], "answer_if needs instance or release"),
    ([given(mode="answer_if", instance="a/r")], None),
    ([given(count=-1)], "count must be at least 1"),
    ([given(kind="preview")], "a preview needs request.url"),
    ([given(kind="preview", request={"url": "http://a"}, agent_name=None)], None),
    ([given(kind="preview", request={"url": "http://a"}, expect="nobody")], "a preview cannot expect nobody"),
    ([given(kind="preview", request={"url": "http://a"}, expect="dispatch")], None),
    (
        [given(kind="preview", request={"url": "http://a"}, expect="dispatch", agent_name=None)],
        "only a preview with agent_name",
    ),
    ([given(expect="dispatch")], "only a preview with agent_name can expect a dispatch"),
    ([given(kind="rehearsal", instance="a/r1")], None),
    ([given(kind="rehearsal", metadata="user-7")], "the metadata of a rehearsal has to be a JSON object"),
    ([given(kind="rehearsal", metadata="[]")], "the metadata of a rehearsal has to be a JSON object"),
]


def test_dispatches_in_turn_cannot_be_left() -> None:
    found = probe.probe_refusals([given(kind="plain", count=2, in_turn=True)], leave=True)
    assert found == ["p: a plain has to be watched while it is under way, so it cannot be left"]


@pytest.mark.parametrize(("probes", "problem"), PROBLEMS)
def test_probes_that_make_no_sense_are_refused(probes: list[Any], problem: str | None) -> None:
    found = probe.probe_refusals(probes)
    assert problem in "; ".join(found) if problem else found == []


# --- the server's list


def listed(name: str = "support", id_: str = "AD_1", jobs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"id": id_, "agent_name": name, "jobs": [JOB] if jobs is None else jobs}


PENDING = {**JOB, "id": "AJ_0", "worker_id": "", "status": "JS_PENDING"}
NO_ID = {**JOB, "id": "AJ_2", "worker_id": "", "status": "JS_RUNNING"}
JOBS = [
    ("empty list", [], "", None),
    ("another name", [listed("")], "", None),
    ("the unnamed dispatch beside ours", [listed("", "AD_0", [NO_ID]), listed()], "", "AJ_1"),
    ("no job yet", [listed(jobs=[])], "", None),
    ("pending without a worker", [listed(jobs=[PENDING])], "", None),
    ("server that tells no worker id", [listed(jobs=[NO_ID])], "", "AJ_2"),
    ("one with a worker id first", [listed(jobs=[PENDING, NO_ID, JOB])], "", "AJ_1"),
    ("by id", [listed(), listed("other", "AD_2", [NO_ID])], "AD_2", "AJ_2"),
    ("id not listed", [listed()], "AD_9", None),
]


@pytest.mark.parametrize(("dispatches", "id_", "wanted"), [pytest.param(*row[1:], id=row[0]) for row in JOBS])
def test_the_job_in_the_list(dispatches: list[Any], id_: str, wanted: str | None) -> None:
    job = watch.find_job(watch.find_dispatch(dispatches, "support", id_))
    assert (job["id"] if job else None) == wanted


DELAYS = [(0.3, 1, "job", 0.1), (3.0, 1, "job", 0.25), (3.0, 1, "nobody", 1.0), (0.3, 200, "job", 0.4)]


@pytest.mark.parametrize(("elapsed", "active", "expect", "wanted"), DELAYS)
def test_looks_are_frequent_at_first_and_rare_in_a_crowd(
    elapsed: float, active: int, expect: str, wanted: float
) -> None:
    assert watch.poll_delay(elapsed, active, expect) == wanted


def ended(latency: float | None, outcome: str, seconds: float = 0.3) -> Any:
    return {"latency_seconds": latency, "outcome": outcome, "seconds": seconds}


COLD, WINDOW = {"what": "dispatch list cold", "seconds": 5.1}, {"what": "search window", "seconds": 10.0}
WAITS = [
    ([], []),
    ([ended(0.21, "taken")], []),
    ([ended(5.1, "taken"), ended(4.0, "taken")], [COLD]),
    ([ended(None, "nobody", 10.01)], [WINDOW]),
    ([ended(None, "error", 9.0)], []),
    ([ended(5.1, "taken"), ended(None, "nobody", 10.01)], [COLD, WINDOW]),
]


@pytest.mark.parametrize(("results", "wanted"), WAITS)
def test_waits_are_told_once_for_each_cause(results: list[Any], wanted: list[dict[str, Any]]) -> None:
    assert probe.probe_waits({str(i): r for i, r in enumerate(results)}, 10.0) == wanted


# --- the application's answer

REQUEST: Any = {
    "url": "http://a/v1/preview?key=1",
    "room_key": "room",
    "dispatch_key": "dispatch_id",
    "agent_name_key": "agent_name",
}
DEEP = {**REQUEST, "room_key": "data.room.name"}
ANSWERS = [
    (REQUEST, 200, '{"room":"r","dispatch_id":"d","agent_name":"n"}', ("r", "d", "n")),
    (REQUEST, 201, '{"room":"r"}', ("r", "", "")),
    (DEEP, 200, '{"data":{"room":{"name":"r"}}}', ("r", "", "")),
    (REQUEST, 502, "bad gateway", "http://a/v1/preview answers HTTP 502: bad gateway"),
    (REQUEST, 500, "", "answers HTTP 500: empty"),
    (REQUEST, 200, "<html>", "answers no JSON: <html>"),
    (REQUEST, 200, '{"rooms":1}', "no room at 'room' in the answer"),
    (REQUEST, 200, '["room"]', "no room at 'room' in the answer"),
    (REQUEST, 200, '{"room":{"a":1}}', "no room at 'room' in the answer"),
]


@pytest.mark.parametrize(("request_", "status", "text", "wanted"), ANSWERS)
def test_the_answer_of_the_application(request_: Any, status: int, text: str, wanted: Any) -> None:
    if isinstance(wanted, tuple):
        assert preview_request.read_preview(request_, status, text) == wanted
    else:
        with pytest.raises(LiveKitError, match=r"HTTP 200|room_key") as caught:
            preview_request.read_preview(request_, status, text)
        assert wanted in caught.value.found


# --- what the server's answers mean

UNKNOWN_KEY, BAD_SECRET = "invalid API key: k", "invalid token: eyJh.x.y, error: token signature is invalid"
HTTP = [
    (401, "text/plain", UNKNOWN_KEY, "key", False),
    (401, "text/plain", BAD_SECRET, "secret", False),
    (401, "text/plain", "invalid token: eyJh.x.y, error: token is not valid yet (nbf)", "clock", False),
    (403, "application/json", '{"code":"permission_denied","msg":"no"}', "permission", False),
    (500, "application/json", '{"code":"internal","msg":"marshaling: size mismatch"}', "internal", True),
    (503, "application/json", '{"code":"unavailable","msg":"no response from servers"}', "unavailable", True),
    (404, "application/json", '{"code":"not_found","msg":"no room"}', "not_found", False),
    (404, "text/plain", "404 page not found", "not_livekit", False),
    (200, "text/html", "<html>", "not_livekit", False),
    (502, "text/html", "<html>", "not_livekit", True),
    (500, "application/json", '["code"]', "not_livekit", False),
]


@pytest.mark.parametrize(("status", "content", "body", "kind", "passing"), HTTP)
def test_an_answer_that_is_no_success(status: int, content: str, body: str, kind: str, passing: bool) -> None:
    error = errors.answer_error(URL, status, content, body.encode())
    assert (error.kind, error.passing) == (kind, passing)
    assert error.found
    assert error.expected
    assert error.remedy
    assert "eyJh" not in str(error)


CONNECTIONS = [
    (TimeoutError(), "timeout"),
    (ConnectionRefusedError(111, "refused"), "unreachable"),
    (socket.gaierror(-2, "unknown"), "dns"),
    (OSError(113, "no route"), "unreachable"),
]


@pytest.mark.parametrize(("error", "kind"), CONNECTIONS)
def test_a_connection_that_fails(error: Exception, kind: str) -> None:
    assert errors.connection_error(URL, error).kind == kind


ADDRESSES = [
    ("ws://a:7880", "http://a:7880"),
    ("WSS://a/", "https://a"),
    ("https://a/base/", "https://a/base"),
    ("ftp://a", None),
    ("a:7880", None),
    ("ws://", None),
    ("ws://a:b", None),
    ("", None),
]


@pytest.mark.parametrize(("url", "wanted"), ADDRESSES)
def test_addresses(url: str, wanted: str | None) -> None:
    if wanted:
        assert errors.http_url(url) == wanted
    else:
        with pytest.raises(LiveKitError):
            errors.http_url(url)


def test_a_shown_address_has_no_password() -> None:
    assert errors.shown_url("ws://user:pass@a:7880/x?token=1") == "ws://a:7880/x"


# --- the life of a probe


class Server:
    """Answers as told; keeps the calls."""

    def __init__(self, lists: list[Any], present: list[dict[str, bool]] | None = None) -> None:
        self.lists, self.present, self.calls = lists, present or [{}], list[str]()

    def next_of(self, answers: list[Any]) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def create_room(self, *_: Any) -> None:
        self.calls.append("create_room")

    async def list_dispatch(self, _room: str) -> Any:
        return self.next_of(self.lists)

    async def participants(self, _room: str) -> Any:
        return self.next_of(self.present)

    async def delete_dispatch(self, _room: str, id_: str) -> None:
        self.calls.append(f"delete_dispatch {id_}")

    async def delete_room(self, _room: str) -> None:
        self.calls.append("delete_room")


def failure(passing: bool) -> LiveKitError:
    return LiveKitError("internal", "size mismatch", "no error", "again", passing=passing)


async def live(server: Any, **changes: Any) -> ProbeResult:
    spec = ProbeSpec(
        **{
            "id": "p",
            "kind": "probe",
            "expect": "job",
            "agent_name": "support",
            "nonce": "n1",
            "window": 0.5,
            **changes,
        }
    )
    under_way = Probe(spec, probe.blank_result(spec), [0])
    await dispatch.run_probe(server, under_way)
    return under_way.result


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LEAVE_SECONDS", 0.2)
    monkeypatch.setattr(watch, "STAY_SECONDS", 0.05)
    monkeypatch.setattr(watch, "SERVER_FLOOR_SECONDS", 0.01)


async def in_turn(takers: list[str], own_ids: list[str], count: int = 4) -> list[str]:
    """The outcome of each dispatch of a turn; who takes them, one after the other, empty for nobody."""
    jobs = [[listed(jobs=[{**JOB, "worker_id": taker}] if taker else [])] for taker in takers]

    class InTurn(Server):
        async def list_dispatch(self, _room: str) -> Any:
            return jobs[self.calls.count("create_room") - 1]

    specs = probe.probe_specs([given(kind="plain", count=count, in_turn=True, own_ids=own_ids)], 0.3)
    probes = [Probe(spec, probe.blank_result(spec), [0]) for spec in specs]
    server: Any = InTurn([])
    await dispatch.run_in_turn(server, probes)
    begun = [one for one in probes if one.begun]
    assert server.calls.count("delete_room") == len(begun)
    return [str(one.result["worker_id"] or one.result["outcome"]) for one in begun]


async def test_dispatches_in_turn_end_with_the_first_that_another_worker_takes() -> None:
    assert await in_turn(["AW_1", "AW_x", "AW_1", "AW_1"], ["AW_1"]) == ["AW_1", "AW_x"]


async def test_without_ids_of_ours_all_dispatches_in_turn_are_sent() -> None:
    assert await in_turn(["AW_1", "AW_x", "AW_1", "AW_1"], []) == ["AW_1", "AW_x", "AW_1", "AW_1"]


async def test_after_two_dispatches_in_turn_that_nobody_took_no_more_are_sent() -> None:
    assert await in_turn(["", "AW_1", "", "AW_1"], ["AW_1"]) == ["nobody", "AW_1", "nobody"]


GONE, KEPT = ["create_room", "delete_dispatch AD_1", "delete_room"], ["create_room", "delete_room"]
LIVES: list[tuple[str, Callable[[], Server], str, list[str]]] = [
    ("job seen", lambda: Server([[listed()]]), "taken", GONE),
    ("job seen late", lambda: Server([[listed(jobs=[])], [listed(jobs=[])], [listed()]]), "taken", GONE),
    ("passing error first", lambda: Server([failure(True), [listed()]]), "taken", GONE),
    ("no job in the window", lambda: Server([[listed(jobs=[])]]), "nobody", GONE),
    ("only passing errors", lambda: Server([failure(True)]), "error", KEPT),
    ("errors at the end prove nothing", lambda: Server([[listed(jobs=[])], failure(True)]), "error", GONE),
    ("refused", lambda: Server([failure(False)]), "error", KEPT),
    ("surprise", lambda: Server([RuntimeError("boom")]), "error", KEPT),
]


@pytest.mark.parametrize(("server", "outcome", "calls"), [pytest.param(*row[1:], id=row[0]) for row in LIVES])
async def test_the_life_of_a_probe(server: Callable[[], Server], outcome: str, calls: list[str]) -> None:
    made = server()
    result = await live(made)
    assert (result["outcome"], made.calls) == (outcome, calls)
    assert result["reason"]


async def test_a_running_job_is_ended_and_gone_before_its_room() -> None:
    running = [listed(jobs=[{**JOB, "status": "JS_RUNNING"}])]
    server = Server([running], [{}, AGENT, AGENT, {}])
    assert (await live(server, kind="plain"))["status"] == "JS_RUNNING"
    assert server.calls == GONE
    assert server.present == [{}]


async def test_a_cancelled_probe_cleans_up() -> None:
    server = Server([[listed(jobs=[])]])
    task = asyncio.create_task(live(server, expect="nobody", window=60.0))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.calls == GONE


ROOMS = [
    ("joins and stays", [{}, SILENT, AGENT], True, "is in the room", None),
    ("never joins", [{}], False, "did not join the room within 1 s", None),
    ("joins and fails", [AGENT, {}], False, "left the room at once", None),
    ("joins and fails before its media", [SILENT, {}], False, "did not join the room within 1 s", None),
    (
        "has no media",
        [{}, SILENT],
        False,
        "has no media connection within 1 s: LiveKit lists it as joined and not as active",
        "media",
    ),
    ("has no media and gives up", [*[SILENT] * 9, {}], False, "has no media connection", "media"),
    ("loses its media at once", [AGENT, SILENT], False, "has no media connection", "media"),
    ("somebody else is there", [{"user": True}], False, "did not join", None),
]


@pytest.mark.parametrize(("present", "in_room", "reason", "kind"), [pytest.param(*row[1:], id=row[0]) for row in ROOMS])
async def test_a_preview_waits_for_its_agent_and_its_media(
    monkeypatch: pytest.MonkeyPatch, present: list[dict[str, bool]], in_room: bool, reason: str, kind: str | None
) -> None:
    async def answer(*_: Any) -> tuple[int, str]:
        return 200, '{"room":"r","dispatch_id":"AD_1","agent_name":"support"}'

    monkeypatch.setattr(preview_request, "http_text", answer)
    server = Server([[listed(jobs=[{**JOB, "status": "JS_RUNNING"}])]], list(present))
    result = await live(server, kind="preview", request=REQUEST, deadline=1.0)
    assert (result["outcome"], result["in_room"], result["room"], result["error_kind"]) == ("taken", in_room, "r", kind)
    assert reason in result["reason"]
    assert server.calls == GONE[1:]


async def test_one_failing_probe_does_not_fail_the_others() -> None:
    good, bad = Server([[listed()]]), Server([RuntimeError("boom")])
    results = await asyncio.gather(live(good), live(bad))
    assert [result["outcome"] for result in results] == ["taken", "error"]


async def test_reads_are_repeated_only_on_passing_errors() -> None:
    server = Server([failure(True), failure(True), ["ok"]])
    assert await client.retried(lambda: server.list_dispatch("r")) == ["ok"]
    with pytest.raises(LiveKitError):
        await client.retried(lambda: Server([failure(False), ["ok"]]).list_dispatch("r"))


ANSWER = {"status": 200, "text": '{"room":"r","dispatch_id":"AD_1","agent_name":"support"}'}
DISPATCHES = [
    ("in the list", [[listed(jobs=[])]], "dispatched", "dispatch AD_1 to 'support'"),
    ("in the list a little later", [[], [], [listed(jobs=[])]], "dispatched", "dispatch AD_1"),
    (
        "another name",
        [[listed("other"), listed("")]],
        "nobody",
        "dispatches to other in room 'r', expected one to 'support'",
    ),
    ("none", [[listed("")]], "nobody", "no dispatch to a named agent in room 'r'"),
    ("refused", [failure(False)], "error", "size mismatch"),
]


@pytest.mark.parametrize(("lists", "outcome", "reason"), [pytest.param(*row[1:], id=row[0]) for row in DISPATCHES])
async def test_what_an_api_dispatched_is_found_by_the_name(
    monkeypatch: pytest.MonkeyPatch, lists: list[Any], outcome: str, reason: str
) -> None:
    # Only where none comes it is waited for to the end, however slow the machine is.
    monkeypatch.setattr(watch, "DISPATCH_SECONDS", 10.0 if outcome == "dispatched" else 0.3)
    monkeypatch.setattr(watch, "JOB_SECONDS", 0.2)
    server = Server(lists)
    result = await live(server, kind="preview", expect="dispatch", request=REQUEST, answer=ANSWER)
    assert (result["outcome"], result["room"]) == (outcome, "r")
    assert reason in result["reason"]
    assert server.calls[-1] == "delete_room"


async def test_job_that_an_old_worker_took_of_an_apis_dispatch_is_ended_in_order() -> None:
    running = [listed(jobs=[{**JOB, "status": "JS_RUNNING"}])]
    server = Server([running], [{}, AGENT, AGENT, {}])
    result = await live(server, kind="preview", expect="dispatch", request=REQUEST, answer=ANSWER)
    assert (result["outcome"], result["worker_id"]) == ("dispatched", "AW_1")
    assert (server.calls, server.present) == (GONE[1:], [{}])


async def test_api_that_answers_an_error_on_its_host_is_told() -> None:
    result = await live(
        Server([[]]), kind="preview", expect="dispatch", request=REQUEST, answer={"status": 500, "text": "no key"}
    )
    assert (result["outcome"], "answers HTTP 500: no key" in result["reason"]) == ("error", True)


async def test_a_rehearsal_waits_for_its_agent() -> None:
    server = Server([[listed(jobs=[{**JOB, "status": "JS_RUNNING"}])]], [{}, AGENT, AGENT, {}])
    result = await live(server, kind="rehearsal", deadline=0.4)
    assert (result["outcome"], result["in_room"]) == ("taken", True)
    assert server.calls == GONE


def test_metadata_of_a_rehearsal_is_the_users_with_the_instance() -> None:
    made = json.loads(probe.probe_metadata(given(kind="rehearsal", instance="a/r1", metadata='{"user": 7}'), "n1"))
    assert made == {"user": 7, "livekit_deploy_rehearsal": "a/r1", "nonce": "n1"}


RETRIES = [
    ("probe", [[listed(jobs=[])], [listed(jobs=[])]], 3, "nobody", 2),
    ("probe", [[listed(jobs=[])], [listed()]], 1, "nobody", 1),
    ("rehearsal", [[listed(jobs=[])], [listed()]], 2, "taken", 2),
    ("probe", [[listed(jobs=[{**JOB, "status": "JS_RUNNING"}])]], 3, "taken", 3),
    ("rehearsal", [[listed(jobs=[{**JOB, "status": "JS_RUNNING"}])]], 3, "taken", 1),
]


@pytest.mark.parametrize(("kind", "lists", "tries", "outcome", "sent"), RETRIES)
async def test_what_is_sent_again(kind: str, lists: list[Any], tries: int, outcome: str, sent: int) -> None:
    class Once(Server):
        """One list for each room."""

        async def list_dispatch(self, _room: str) -> Any:
            return self.lists[min(self.calls.count("create_room"), len(self.lists)) - 1]

    server = Once(lists)
    result = await live(server, kind=kind, tries=tries, window=0.1, deadline=0.1)
    assert (result["outcome"], server.calls.count("create_room")) == (outcome, sent)


@pytest.mark.parametrize(("name", "times"), [("support", 2), ("sales", 1)])
async def test_application_is_asked_again_when_its_worker_refused_once(
    name: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def ask(_: Any, probe: Probe) -> None:
        asked.append(probe)
        probe.created = time.monotonic()
        probe.result |= {"room": "r", "agent_name": name, "in_room": False}

    monkeypatch.setattr(dispatch, "ask_application", ask)
    result = await live(Server([[{**listed(jobs=[]), "agent_name": name}]]), kind="preview", tries=2, window=0.1)
    assert (result["outcome"], len(asked)) == ("nobody", times)


ROOM_TEXTS = [
    pytest.param("desk-7", "desk-7", id="a room's name"),
    pytest.param(
        "eyJhbGciOiJIUzI1NiJ9.eyJ2aWRlbyI6eyJyb29tIjoiZGVzay03In19.c2ln", "desk-7", id="an access token for it"
    ),
    pytest.param("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "", id="a token for none"),
    pytest.param("api.example.com", "api.example.com", id="a name with dots"),
]


@pytest.mark.parametrize(("text", "room"), ROOM_TEXTS)
def test_room_of_an_answer(text: str, room: str) -> None:
    assert preview_request.room_name(text) == room


@pytest.mark.parametrize(
    ("path", "expected"),
    [("call.room", "r1"), ("calls.0.room", "r2"), ("calls.1.room", ""), ("calls.x", ""), ("call.room.x", "")],
)
def test_value_is_found_by_its_path(path: str, expected: str) -> None:
    assert preview_request.value_at({"call": {"room": "r1"}, "calls": [{"room": "r2"}]}, path) == expected


SERVERS = [
    pytest.param({"url": "http://192.0.2.1/x"}, {}, [], id="by its address"),
    pytest.param({"url": "http://192.0.2.1/x", "server_name": "a.b"}, {"Host": "a.b"}, [], id="by a name"),
    pytest.param(
        {"url": "https://192.0.2.1/x", "server_name": "a.b"},
        {"Host": "a.b"},
        ["server_hostname"],
        id="by a name, with TLS",
    ),
    pytest.param({"url": "https://a.b/x", "validate_certs": False}, {}, ["ssl"], id="any certificate"),
]


@pytest.mark.parametrize(("request_", "headers", "options"), SERVERS)
def test_server_is_asked_under_its_name(request_: Any, headers: dict[str, str], options: list[str]) -> None:
    found = preview_request.tls_options(request_)
    assert (found[0], sorted(found[1])) == (headers, options)


# --- sent by one call, looked for by another


@asynccontextmanager
async def connection_to(server: Server, *_: Any) -> AsyncIterator[Server]:
    yield server


VACANCY: Any = {"id": "a/vacancy", "kind": "probe", "agent_name": "support", "expect": "nobody", "window_seconds": 0.5}


@pytest.mark.parametrize(
    ("age", "lists", "outcome", "calls"),
    [
        pytest.param(0.0, [[listed()]], "taken", ["delete_dispatch AD_1", "delete_room"], id="taken"),
        pytest.param(0.0, [[listed(jobs=[])]], "nobody", ["delete_dispatch AD_1", "delete_room"], id="nobody"),
        pytest.param(
            30.0, [[listed(jobs=[])]], "nobody", ["delete_dispatch AD_1", "delete_room"], id="the window is over"
        ),
        pytest.param(90.0, [[listed(jobs=[])]], "nobody", GONE, id="too late: sent again"),
        pytest.param(-90.0, [[listed(jobs=[])]], "nobody", GONE, id="of another boot: sent again"),
    ],
)
async def test_what_was_left_is_looked_for_later(
    monkeypatch: pytest.MonkeyPatch, age: float, lists: list[Any], outcome: str, calls: list[str]
) -> None:
    server = Server(lists)
    monkeypatch.setattr(client, "connect", lambda *_: connection_to(server))
    handle: Any
    (handle,) = json.loads(json.dumps(await dispatch.leave("ws://a", "k", "s", probe.probe_specs([VACANCY], 0.5))))
    assert server.calls == ["create_room"]
    handle["created"] -= age
    found = await dispatch.collect("ws://a", "k", "s", [handle])
    assert (found["a/vacancy"]["outcome"], server.calls[1:]) == (outcome, calls)


def test_room_of_what_is_left_outlives_the_time_in_which_it_is_collected() -> None:
    (spec,) = probe.probe_specs([VACANCY], 0.5)
    assert replace(spec, keep=dispatch.KEPT_SECONDS).empty_timeout > dispatch.KEPT_SECONDS


# --- tokens


async def test_token_of_a_request_lives_a_minute(unused_tcp_port: int) -> None:
    tokens: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = (await reader.readuntil(b"\r\n\r\n")).decode()
        tokens.extend(line.split()[-1] for line in said.splitlines() if line.lower().startswith("authorization:"))
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", unused_tcp_port)
    async with server, client.connect(f"ws://127.0.0.1:{unused_tcp_port}", "key", "s" * 32, 5.0) as connection:
        with pytest.raises(LiveKitError):
            await connection.rooms()
    claims = json.loads(base64.urlsafe_b64decode(tokens[0].split(".")[1] + "=="))
    assert claims["exp"] - time.time() <= 60


async def asked(port: int) -> LiveKitError:
    async with client.connect("ws://127.0.0.1:1", "k", "s", 5) as connection:
        with pytest.raises(LiveKitError) as trouble:
            await preview_request.http_text(
                connection, {**REQUEST, "method": "POST", "url": f"http://127.0.0.1:{port}/v1/preview"}, 3
            )
    return trouble.value


async def test_api_that_gets_no_connection_is_told_from_one_that_does_not_answer() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    silent = await asked(port)
    server.close()
    await server.wait_closed()
    gone = await asked(port)
    assert (silent.kind, "read the log of the API" in silent.remedy) == ("preview", True)
    assert (gone.kind, "let this controller reach it" in gone.remedy) == ("not_reached", True)


@pytest.mark.parametrize(
    ("kind", "error", "expected"),
    [
        ("timeout", client.aiohttp.ServerTimeoutError(), "not_reached"),
        ("timeout", TimeoutError(), "preview"),
        ("unreachable", client.aiohttp.ServerDisconnectedError(), "preview"),
        ("tls", client.aiohttp.ClientError(), "tls"),
    ],
)
def test_no_connection_is_told_from_no_answer(kind: str, error: Exception, expected: str) -> None:
    assert preview_request.kind_of_silence(kind, error)[0] == expected


PROXIES = {
    "http_proxy": "http://proxy.test:3128",
    "https_proxy": "http://secure.test:3128",
    "no_proxy": "inside.test,.corp.test",
}


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://x.livekit.cloud", "http://secure.test:3128"),
        ("http://livekit.example.com:7880", "http://proxy.test:3128"),
        ("http://192.0.2.1:7880", None),
        ("http://10.0.0.1:7880", None),
        ("http://127.0.0.1:7880", None),
        ("http://[::1]:7880", None),
        ("http://localhost:7880", None),
        ("https://inside.test", None),
        ("https://livekit.corp.test", None),
    ],
)
def test_server_is_reached_through_the_proxy_of_this_machine_unless_it_is_near(
    monkeypatch: pytest.MonkeyPatch, url: str, proxy: str | None
) -> None:
    for name, value in PROXIES.items():
        monkeypatch.setenv(name, value)
    assert client.environment_proxy(url) == proxy


async def test_api_of_a_host_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/preview"
    async with client.connect("ws://127.0.0.1:1", "k", "s", 5) as connection:
        assert await preview_request.http_text(connection, {**REQUEST, "method": "GET", "url": url}, 3) == (200, "ok")
    server.close()
