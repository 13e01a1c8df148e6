"""The API against a made-up LiveKit client, and against a port where nobody listens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from app import preview
from app.main import create_app
from app.settings import Settings
from fastapi.testclient import TestClient
from livekit.api import ServerError

INTERNAL = ServerError("internal", "marshaling: size mismatch", status=500)
REFUSED = ServerError("unknown", "", status=401)  # as livekit-server 1.13.5 says it


@dataclass
class FakeLiveKit:
    """Answers like LiveKitAPI. A list of results is used up from the front; errors are raised."""

    create: list[Any] = field(default_factory=lambda: [None])
    lists: list[Any] = field(default_factory=list)
    created: list[Any] = field(default_factory=list)
    opened: int = 0
    closed: int = 0

    @property
    def room(self) -> FakeLiveKit:
        return self

    @property
    def agent_dispatch(self) -> FakeLiveKit:
        return self

    async def create_room(self, request: Any) -> None:
        self.created.append(request)
        _give(self.create.pop(0) if self.create else None)

    async def list_dispatch(self, _room: str) -> Any:
        return _give(self.lists.pop(0) if self.lists else [dispatch("AD_1")])

    async def __aenter__(self) -> FakeLiveKit:
        self.opened += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed += 1


def _give(result: Any) -> Any:
    if isinstance(result, Exception):
        raise result
    return result


def dispatch(dispatch_id: str, agent_name: str = "web1-agent") -> Any:
    return SimpleNamespace(id=dispatch_id, agent_name=agent_name)


def settings(url: str = "ws://127.0.0.1:1") -> Settings:
    return Settings(
        livekit_agent_name="web1-agent",
        livekit_url=url,
        livekit_api_key="key",
        livekit_api_secret="0123456789abcdef0123456789abcdef",
        livekit_deploy_instance="web1/r1",
    )


@pytest.fixture
def livekit(monkeypatch: pytest.MonkeyPatch) -> FakeLiveKit:
    monkeypatch.setattr(preview, "LIST_PAUSE_SECONDS", 0)
    return FakeLiveKit()


@pytest.fixture
def client(livekit: FakeLiveKit) -> Iterator[TestClient]:
    with TestClient(create_app(settings(), lambda _: cast(Any, livekit))) as client:
        yield client


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_healthz_is_ok(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_agent_tells_name_and_release(client: TestClient) -> None:
    expected = {"agent_name": "web1-agent", "release": "r1", "instance": "web1/r1"}
    assert client.get("/v1/agent").json() == expected


def test_a_preview_dispatches_to_the_name_in_the_settings(client: TestClient, livekit: FakeLiveKit) -> None:
    answer = client.post("/v1/preview", json={"metadata": "m"})
    (request,) = livekit.created
    assert answer.json() == {"room": request.name, "dispatch_id": "AD_1", "agent_name": "web1-agent"}
    assert [(agent.agent_name, agent.metadata) for agent in request.agents] == [("web1-agent", "m")]
    assert 0 < request.empty_timeout <= 60


def test_a_preview_needs_no_body(client: TestClient, livekit: FakeLiveKit) -> None:
    assert client.post("/v1/preview").status_code == 200
    assert livekit.created[0].agents[0].metadata == ""


@pytest.mark.parametrize("body", [{"metdata": "m"}, {"metadata": 1}, []])
def test_a_wrong_body_is_refused(client: TestClient, livekit: FakeLiveKit, body: Any) -> None:
    assert client.post("/v1/preview", json=body).status_code == 422
    assert livekit.created == []


def test_each_preview_has_a_room_of_its_own(client: TestClient, livekit: FakeLiveKit) -> None:
    rooms = {client.post("/v1/preview").json()["room"] for _ in range(5)}
    assert rooms == {request.name for request in livekit.created}
    assert len(rooms) == 5


def test_one_line_is_logged_per_dispatch(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    answer = client.post("/v1/preview").json()
    (line,) = lines(capsys)
    assert line.pop("time").endswith("+00:00")
    assert line == {"event": "dispatch_created", **answer}


def test_dispatches_to_other_names_are_not_ours(client: TestClient, livekit: FakeLiveKit) -> None:
    livekit.lists = [[dispatch("AD_0", ""), dispatch("AD_2")]]
    assert client.post("/v1/preview").json()["dispatch_id"] == "AD_2"


@pytest.mark.parametrize("first", [INTERNAL, []], ids=["internal error", "not there yet"])
def test_a_list_is_read_a_second_time(client: TestClient, livekit: FakeLiveKit, first: Any) -> None:
    livekit.lists = [first, [dispatch("AD_3")]]
    assert client.post("/v1/preview").json()["dispatch_id"] == "AD_3"
    assert len(livekit.created) == 1


@pytest.mark.parametrize(
    ("create", "lists", "status", "error"),
    [
        ([REFUSED], [], 502, "livekit_refuses"),
        ([INTERNAL, None], [], 502, "livekit_refuses"),  # creating is never repeated
        ([None], [INTERNAL, INTERNAL], 502, "livekit_refuses"),
        ([None], [REFUSED, [dispatch("AD_4")]], 502, "livekit_refuses"),
        ([None], [[], []], 502, "no_dispatch"),
        ([aiohttp.ClientConnectionError("refused")], [], 503, "livekit_unreachable"),
        ([TimeoutError()], [], 503, "livekit_unreachable"),
        ([None], [TimeoutError()], 503, "livekit_unreachable"),
    ],
)
def test_trouble_is_told_in_json(
    client: TestClient,
    livekit: FakeLiveKit,
    capsys: pytest.CaptureFixture[str],
    create: list[Any],
    lists: list[Any],
    status: int,
    error: str,
) -> None:
    livekit.create, livekit.lists = create, lists
    answer = client.post("/v1/preview")
    assert (answer.status_code, answer.json()["detail"]["error"]) == (status, error)
    assert answer.json()["detail"]["room"] == livekit.created[0].name
    assert not answer.json()["detail"]["message"].endswith(": ")
    assert [line["event"] for line in lines(capsys)] == ["dispatch_failed"]


def test_a_port_where_nobody_listens_is_503() -> None:
    with TestClient(create_app(settings("ws://127.0.0.1:1"))) as client:
        answer = client.post("/v1/preview")
    assert (answer.status_code, answer.json()["detail"]["error"]) == (503, "livekit_unreachable")


def test_an_impossible_url_is_503() -> None:
    with TestClient(create_app(settings("nonsense"))) as client:
        assert client.post("/v1/preview").status_code == 503


def test_one_client_lives_as_long_as_the_application(livekit: FakeLiveKit) -> None:
    with TestClient(create_app(settings(), lambda _: cast(Any, livekit))) as client:
        client.post("/v1/preview")
        client.post("/v1/preview")
        assert (livekit.opened, livekit.closed) == (1, 0)
    assert (livekit.opened, livekit.closed) == (1, 1)
