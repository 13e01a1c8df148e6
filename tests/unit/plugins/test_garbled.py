"""Secrets that would be masked in our own answers: judged with all the words that these are made of."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.livekit_deploy.inventory import compose, garbled
from ansible.module_utils.livekit_deploy.release import content, records

ROOT = Path(__file__).resolve().parents[3]
SPEC = importlib.util.spec_from_file_location("livekit_deploy_filters", ROOT / "filter_plugins/livekit_deploy.py")
assert SPEC
assert SPEC.loader
FILTERS = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(FILTERS)
RETURNED = sorted(
    name
    for path in (ROOT / "library").glob("*.py")
    for name in (yaml.safe_load(path.read_text().partition('RETURN = r"""')[2].partition('"""')[0]) or {})
)
INVENTORY = {
    "agent_release_app": "parcelbot",
    "livekit_agent_name": "parcelbot-oslo",
    "livekit_agent_image": "registry.corp.test/parcels/quux@sha256:1",
    "ansible_host": "host17.corp.test",
    "livekit_agent_leave_projects": ["corge"],
    "agent_api_ports": [281010, 281020],
    "livekit_agent_secret_env": {"GRAULT_KEY": "Zk8-long-enough"},
}
GOOD = [
    "Zk8-long-enough",
    "hunter2!",
    "postgres://app:s3cr3t@db/x",
    "correct horse battery",
    "9f86d081884c7d65",
    "482913",
]


def problems(**variables: Any) -> list[str]:
    hostvars = {"oslo-1": INVENTORY, "oslo-2": variables}
    return [str(text) for text in garbled.garbled_problems(hostvars, ["oslo-1", "oslo-2"], FILTERS._project().words)]


def of_secret(value: str) -> list[str]:
    return problems(agent_api_secret_env={"DB_USER": value})


@pytest.mark.parametrize(
    "word",
    [
        *(
            "fastapi",
            "worker",
            "agent-worker",
            "agent",
            "18101",
            "8080",
            "running",
            "healthy",
            "true",
            "True",
            "none",
            "sha256",
            "docker",
        ),
        *(
            "/opt",
            "127.0.0.1",
            "ws://",
            "release",
            "releases",
            "expected",
            "livekit",
            "default",
            "exclusive",
            "compose.yml",
            "started",
        ),
        *(
            "12",
            "abc",
            "2026",
            "beef0",
            "1",
            "unless-stopped",
            "json-file",
            "fastapi.env",
            "root",
            "localhost",
            "failed",
        ),
    ],
)
def test_an_ordinary_word_is_refused(word: str) -> None:
    (found,) = of_secret(word)
    assert found.startswith(
        "oslo-2: agent_api_secret_env.DB_USER is shorter than 4 characters, part of ids and numbers, or also a word"
    )
    assert found.endswith("Choose another one, or set it as an ordinary variable (agent_api_env)")


@pytest.mark.parametrize("word", RETURNED)
def test_a_key_of_an_answer_is_refused(word: str) -> None:
    assert len(of_secret(word)) == 1


@pytest.mark.parametrize(
    "word", [*records.SERVICES, *compose.HARDENED, *content.MARKS.values(), time.strftime("%Y%m%d", time.gmtime())]
)
def test_a_word_of_a_release_is_refused(word: str) -> None:
    assert len(of_secret(word)) == 1


@pytest.mark.parametrize(
    "word",
    [
        "oslo-1",
        "parcelbot",
        "ParcelBot",
        "parcels/quux",
        "host17",
        "corge",
        "281010",
        "GRAULT_KEY",
        "registry.corp.test",
    ],
)
def test_a_name_of_another_host_of_the_inventory_is_refused(word: str) -> None:
    assert len(of_secret(word)) == 1


@pytest.mark.parametrize("value", GOOD)
def test_a_secret_that_is_no_word_is_accepted(value: str) -> None:
    assert of_secret(value) == []


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"livekit_agent_secret_env": {"A": "worker"}}, "livekit_agent_secret_env.A"),
        ({"livekit_api_secret": "parcelbot-oslo"}, "livekit_api_secret"),
        (
            {"agent_release_registries": [{"address": "r", "password": "x"}, {"password": "worker"}]},
            "password of entry 2",
        ),
        ({"verification_preview": {"headers": {"X-Stage": "oslo"}}}, "verification_preview.headers.X-Stage"),
        ({"verification_preview": {"headers": {"X-Test": "1"}}}, "verification_preview.headers.X-Test"),
    ],
)
def test_every_kind_of_secret_is_judged_without_its_value(variables: dict[str, Any], name: str) -> None:
    found = problems(**variables)[-1]
    assert f"{name} is shorter than" in found.replace(", is", " is")
    assert "found" not in found


def test_a_header_that_is_no_secret_is_accepted() -> None:
    assert (
        problems(
            verification_preview={"headers": {"Content-Type": "application/json", "Authorization": "Bearer Zk8-long"}}
        )
        == []
    )


def test_a_secret_that_cannot_be_read_is_another_s_to_tell() -> None:
    class Broken(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            raise ValueError(name)

    assert problems(agent_api_secret_env=Broken(A=1), agent_release_registries=None, verification_preview=True) == []
