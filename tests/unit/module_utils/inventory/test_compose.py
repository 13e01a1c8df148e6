from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.inventory import compose

LOGGING = {"driver": "json-file", "options": {"max-size": "10m"}}
OWN = {"image": "worker@sha256:0", "env_file": ["agent-worker.env"], "volumes": ["./gate:/run/livekit-deploy:ro"]}


def document(**given: Any) -> dict[str, Any]:
    return compose.document("@project@", {"agent-worker": {"own": OWN, **given}}, LOGGING)


def service(**given: Any) -> dict[str, Any]:
    return dict(document(**given)["services"]["agent-worker"])


def problems(**variables: Any) -> list[str]:
    return compose.compose_problems({"a": variables}, ["a"])


def test_service_without_additions_is_hardened_and_has_what_the_release_decides() -> None:
    found = service()
    assert found == {**compose.HARDENED, "logging": LOGGING, **OWN}


@pytest.mark.parametrize(
    ("extra", "key", "expected"),
    [
        pytest.param({"cap_add": ["SYS_NICE"]}, "cap_add", ["SYS_NICE"], id="new"),
        pytest.param({"tmpfs": ["/cache"]}, "tmpfs", ["/tmp", "/cache"], id="list added"),
        pytest.param({"read_only": False}, "read_only", False, id="value replaced"),
        pytest.param(
            {"logging": {"driver": "journald"}}, "logging", {"driver": "journald"}, id="options of another driver go"
        ),
        pytest.param({"labels": {"price": "5$ a call"}}, "labels", {"price": "5$$ a call"}, id="dollar is kept"),
    ],
)
def test_extra_key_is_added_or_takes_the_place(extra: dict[str, Any], key: str, expected: Any) -> None:
    assert service(extra=extra)[key] == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [("serve --port $PORT", "serve --port $$PORT"), (["serve", "$HOME", "a b"], ["serve", "$$HOME", "a b"])],
)
def test_command_reaches_the_container_as_it_is(command: Any, expected: Any) -> None:
    assert service(command=command)["command"] == expected


def test_without_a_command_the_image_has_its_own() -> None:
    assert "command" not in service(command=[])


def test_named_volumes_and_networks_are_those_of_the_host() -> None:
    found = document(volumes=["models:/models", "/srv/prompts:/prompts:ro"], extra={"networks": ["backend", "default"]})
    assert found["volumes"] == {"models": {"external": True}}
    assert found["networks"] == {"backend": {"external": True}}
    assert found["services"]["agent-worker"]["volumes"] == [
        *OWN["volumes"],
        "models:/models",
        "/srv/prompts:/prompts:ro",
    ]


def test_file_without_volumes_and_networks_declares_none() -> None:
    assert set(document()) == {"name", "services"}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("volume", "did you mean 'volumes'"),
        ("cpuss", "did you mean 'cpus'?"),
        ("xyzzy", "Remove it"),
        ("image", "set livekit_agent_image"),
        ("environment", "set livekit_agent_env or livekit_agent_secret_env"),
        ("ports", "set agent_api_container_port"),
        ("container_name", "two releases run side by side"),
        ("privileged", "cap_add"),
        ("network_mode", "the same ports"),
    ],
)
def test_key_that_is_unknown_or_a_releases_own_is_refused(key: str, words: str) -> None:
    (problem,) = problems(livekit_agent_compose={key: "x"})
    assert problem.startswith(f"a: livekit_agent_compose has the key {key!r}")
    assert words in problem or (key == "volume" and "Remove it" in problem)


@pytest.mark.parametrize("key", sorted(compose.ADDED))
def test_no_key_is_both_allowed_and_decided(key: str) -> None:
    assert key not in compose.DECIDED


def test_deploy_is_for_resources_only() -> None:
    assert problems(livekit_agent_compose={"deploy": {"resources": {}}}) == []
    assert "deploy with replicas" in problems(livekit_agent_compose={"deploy": {"replicas": 2}})[0]


@pytest.mark.parametrize("volume", ["./data:/data", "/data", "data:data", "../x:/y", ":/x", "~/x:/y"])
def test_volume_that_would_go_with_the_release_is_refused(volume: str) -> None:
    assert "agent_api_volumes has" in problems(agent_api_volumes=[volume])[0]


@pytest.mark.parametrize("volume", ["data:/data", "/srv/data:/data:ro", "a.b-c_1:/x:ro,z"])
def test_volume_of_the_host_is_taken(volume: str) -> None:
    assert problems(agent_api_volumes=[volume]) == []


def test_command_with_a_number_is_refused() -> None:
    assert "Put numbers in quotes" in problems(agent_api_command=["serve", 8080])[0]


@pytest.mark.parametrize(
    ("value", "words"),
    [("CHANGE_ME", "is a placeholder"), ("", "is empty"), (None, "is empty"), ("<your key>", "is a placeholder")],
)
def test_secret_that_nobody_set_is_refused(value: Any, words: str) -> None:
    (problem,) = problems(livekit_agent_secret_env={"OPENAI_API_KEY": value})
    assert problem.startswith("a: livekit_agent_secret_env.OPENAI_API_KEY")
    assert words in problem


def test_secret_that_cannot_be_read_is_refused_without_its_value() -> None:
    class Secrets(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise ValueError("could not parse 'sk-very-secret'")

    (problem,) = problems(agent_api_secret_env=Secrets(KEY=""))
    assert "agent_api_secret_env.KEY cannot be read (ValueError)" in problem


def test_inventory_without_additions_has_no_problem() -> None:
    assert (
        problems(
            livekit_agent_secret_env={"KEY": "sk-1"}, livekit_agent_compose={"cpus": 1.5}, agent_api_command="serve"
        )
        == []
    )
