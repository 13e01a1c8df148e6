# SPDX-License-Identifier: Apache-2.0
"""The module livekit_diagnosis_info as Ansible runs it, against a small server that speaks the API."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import livekit_diagnosis_info
import pytest
import yaml
from ansible.module_utils.livekit_deploy.livekit import client
from ansible.module_utils.testing import patch_module_args
from livekit import api

SECRET = "very-secret-very-secret-very-secret"
SIP = api.ListSIPDispatchRuleResponse(
    items=[
        api.SIPDispatchRuleInfo(
            sip_dispatch_rule_id="SDR_1",
            name="hotline",
            room_config=api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="somebody-elses")]),
        )
    ]
)
NO_SIP = (500, "application/json", b'{"code":"internal","msg":"sip not connected (redis required)"}')


def message(answer: Any) -> tuple[int, str, bytes]:
    return 200, "application/protobuf", answer.SerializeToString()


def dispatches(worker_id: str) -> Any:
    job = api.Job(id="AJ_1", state=api.JobState(worker_id=worker_id))
    one = api.AgentDispatch(id="AD_1", agent_name="support", state=api.AgentDispatchState(jobs=[job]))
    return message(api.ListAgentDispatchResponse(agent_dispatches=[one]))


class Answer(BaseHTTPRequestHandler):
    """Answers each method of the API with what the test says, and keeps what was asked."""

    given: ClassVar[dict[str, Callable[[], tuple[int, str, bytes]]]] = {}
    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        method = self.path.rpartition("/")[2]
        self.asked.append(method)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, content, body = self.given[method]()
        self.send_response(status)
        self.send_header("Content-Type", content)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError):
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    rooms = message(api.ListRoomsResponse(rooms=[api.Room(name="room-1"), api.Room(name="room-9")]))
    given = {
        "ListSIPDispatchRule": lambda: message(SIP),
        "ListRooms": lambda: rooms,
        "ListDispatch": lambda: dispatches("AW_far"),
    }
    monkeypatch.setattr(Answer, "given", given)
    monkeypatch.setattr(Answer, "asked", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"ws://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def host(*rooms: str) -> dict[str, Any]:
    """A host whose API dispatched to these rooms; its worker's log has none of them."""
    sent = [
        {"room": room, "dispatch_id": "", "agent_name": "support", "time": f"2026-01-02T03:00:{n:02}Z"}
        for n, room in enumerate(rooms)
    ]
    calls = {"read": True, "agent_names": {"support": len(sent)} if sent else {}, "dispatches": sent, "failed": 0}
    evidence = {"workers": [], "states": {}, "api": calls, "since": 1767300000.0}
    return {
        "agent_name": "support",
        "pool": "a",
        "livekit_url": "ws://l",
        "group": "agent_hosts",
        "evidence": evidence,
        "unread": "",
    }


def run(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    given = {
        "hosts": {"a": host("room-1", "gone")},
        "api_key": "key",
        "api_secret": SECRET,
        "playbooks": {"sources": ["inventory/b"]},
        **params,
    }
    with patch_module_args(given), pytest.raises(SystemExit):
        livekit_diagnosis_info.main()
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    assert "Traceback" not in out + err
    return dict(json.loads(out))


def answered(capsys: pytest.CaptureFixture[str], url: str, **params: Any) -> dict[str, Any]:
    """The document of a run with a server that accepts the key."""
    answer = run(capsys, url=url, server={"reachable": True, "key_accepted": True, "seconds": 0.1}, **params)
    found: dict[str, Any] = answer["report_documents"]["diagnose.json"]
    return found


def test_the_answer_is_documents_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys)
    assert not answer.get("failed")
    assert set(answer) - {"invocation", "changed", "warnings"} == set(yaml.safe_load(livekit_diagnosis_info.RETURN))
    assert set(answer["report_documents"]) == {"diagnose.json", "diagnose.md"}
    assert answer["report_documents"]["diagnose.md"].startswith("# Why")


def test_check_mode_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, _ansible_check_mode=True)["report_lines"] == run(capsys)["report_lines"]


def test_a_server_that_is_away_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    server = {
        "reachable": False,
        "key_accepted": False,
        "found": "ws://l refuses the connection",
        "remedy": "start the server",
    }
    answer = run(capsys, url="ws://127.0.0.1:1", server=server)
    assert answer["report_documents"]["diagnose.json"]["hosts"]["a"]["causes"][0]["id"] == "server_unreachable"
    assert "was not asked" in answer["report_documents"]["diagnose.json"]["sip"]["reason"]


def test_the_rules_for_calls_by_phone_are_read(capsys: pytest.CaptureFixture[str], address: str) -> None:
    assert answered(capsys, address)["sip"]["rules"] == [
        {"id": "SDR_1", "name": "hotline", "agents": ["somebody-elses"], "trunks": []}
    ]


def test_a_server_without_sip_is_not_checked(capsys: pytest.CaptureFixture[str], address: str) -> None:
    Answer.given["ListSIPDispatchRule"] = lambda: NO_SIP
    found = answered(capsys, address)
    assert not found["sip"]["checked"]
    assert "sip not connected" in found["not_read"][0]


def test_a_living_room_tells_who_has_its_job(capsys: pytest.CaptureFixture[str], address: str) -> None:
    found = answered(capsys, address)["hosts"]["a"]
    assert [(to["worker_id"], to["count"]) for to in found["flow"]["to"]] == [("AW_far", 1)]


def test_only_rooms_that_live_are_asked_about(capsys: pytest.CaptureFixture[str], address: str) -> None:
    answered(capsys, address)
    assert Answer.asked.count("ListDispatch") == 1


def test_no_room_is_asked_about_when_every_dispatch_is_in_a_log(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    answered(capsys, address, hosts={"a": host()})
    assert Answer.asked == ["ListSIPDispatchRule"]


def test_at_most_twenty_rooms_are_asked_about_the_newest_first(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    names = [f"room-{number}" for number in range(30)]
    rooms = message(api.ListRoomsResponse(rooms=[api.Room(name=name) for name in names]))
    Answer.given["ListRooms"] = lambda: rooms
    found = answered(capsys, address, hosts={"a": host(*names)})["hosts"]["a"]
    assert Answer.asked.count("ListDispatch") == livekit_diagnosis_info.ROOMS_ASKED == 20
    assert found["flow"]["unknown"] == 10


def test_a_room_that_ends_meanwhile_is_left_out(capsys: pytest.CaptureFixture[str], address: str) -> None:
    Answer.given["ListDispatch"] = lambda: (404, "application/json", b'{"code":"not_found","msg":"no"}')
    assert answered(capsys, address)["hosts"]["a"]["flow"]["unknown"] == 2


def test_a_server_that_does_not_answer_costs_no_more_than_was_allowed(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    def late() -> tuple[int, str, bytes]:
        time.sleep(1)
        return NO_SIP

    Answer.given["ListSIPDispatchRule"] = late
    started = time.monotonic()
    found = answered(capsys, address, timeout_seconds=0.2)
    assert time.monotonic() - started < 0.9
    assert found["sip"] == {"checked": False, "reason": "no answer within 0.2 s"}
    assert found["hosts"]["a"]["flow"]["unknown"] == 1


def test_rooms_that_could_not_be_asked_about_are_listed(capsys: pytest.CaptureFixture[str], address: str) -> None:
    Answer.given["ListRooms"] = lambda: (403, "application/json", b'{"code":"permission_denied","msg":"no"}')
    assert "the rooms of 2 dispatches" in answered(capsys, address)["not_read"][-1]


def test_commands_name_the_inventories_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    renamed = host()
    renamed["evidence"]["release"] = {"id": "r1", "agent_name": "old"}
    assert "ansible-playbook -i inventory/b " in json.dumps(run(capsys, hosts={"a": renamed})["report_documents"])


def test_what_could_not_be_proven_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    document = run(capsys, not_proven=["the probes: broken"])["report_documents"]["diagnose.json"]
    assert "the probes: broken" in document["not_read"]


def test_what_is_wrong_in_the_inventory_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, inventory_problems=["two pools have one name"])["report_lines"][0].endswith(
        "two pools have one name"
    )


def test_a_missing_library_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "IMPORT_ERROR", "ImportError")
    assert "livekit-api" in run(capsys)["msg"]


def test_the_documentation_names_every_option() -> None:
    documented = yaml.safe_load(livekit_diagnosis_info.DOCUMENTATION)["options"]
    # That one is documented for several modules.
    assert {*documented, "playbooks"} == set(livekit_diagnosis_info.ARGUMENT_SPEC)
