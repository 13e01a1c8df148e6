"""The API's settings: what is refused, which name wins, and that no secret is printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from app.settings import Settings
from pydantic import ValidationError

API = Path(__file__).parents[1] / "api"
SECRET = "not-to-be-printed-0123456789abcdef"
ENVIRONMENT = {
    "LIVEKIT_AGENT_NAME": "web1-agent",
    "LIVEKIT_URL": "ws://127.0.0.1:7880",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": SECRET,
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGENT_NAME", "LIVEKIT_DEPLOY_INSTANCE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_the_name_comes_from_the_environment() -> None:
    assert Settings().livekit_agent_name == "web1-agent"


def test_agent_name_is_accepted_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVEKIT_AGENT_NAME")
    monkeypatch.setenv("AGENT_NAME", "other")
    assert Settings().livekit_agent_name == "other"


def test_livekit_agent_name_wins_over_agent_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_NAME", "other")
    assert Settings().livekit_agent_name == "web1-agent"


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_refused_even_beside_agent_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("LIVEKIT_AGENT_NAME", name)
    monkeypatch.setenv("AGENT_NAME", "other")
    with pytest.raises(ValidationError, match="must not be empty"):
        Settings()


@pytest.mark.parametrize("variable", sorted(ENVIRONMENT))
def test_a_missing_value_is_refused_without_printing_the_secret(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv(variable)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert variable.lower() in str(caught.value).lower()
    assert SECRET[-8:] not in str(caught.value)  # pydantic would cut the middle and show the end


@pytest.mark.parametrize("variable", ["LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"])
def test_an_empty_value_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "")
    with pytest.raises(ValidationError):
        Settings()


def test_the_secret_is_not_in_the_representation() -> None:
    assert SECRET not in repr(Settings())


@pytest.mark.parametrize(("instance", "release"), [("web1/r1", "r1"), ("", "")])
def test_the_release_is_the_last_part_of_the_instance(
    monkeypatch: pytest.MonkeyPatch, instance: str, release: str
) -> None:
    monkeypatch.setenv("LIVEKIT_DEPLOY_INSTANCE", instance)
    assert Settings().release == release


def test_the_process_refuses_to_start_without_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=API,
        env={**os.environ, "LIVEKIT_AGENT_NAME": ""},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "must not be empty" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr
