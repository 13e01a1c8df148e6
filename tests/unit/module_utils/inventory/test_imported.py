"""A hand-made compose project becomes an entry of the inventory."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.inventory import imported
from ansible.module_utils.livekit_deploy.inventory.compose import service_problems

IMAGE = f"sha256:{'1' * 64}"
LIVEKIT = {
    "LIVEKIT_URL": "wss://livekit.test",
    "LIVEKIT_API_KEY": "APIkey",
    "LIVEKIT_API_SECRET": "s" * 40,
    "AGENT_NAME": "support",
}
CONNECTION = {"ansible_host": "192.0.2.7"}


def service(name: str = "agent-worker", **changes: Any) -> Any:
    config = {
        "image": "shop-worker",
        "environment": {**LIVEKIT, "MODEL": "small", "MODEL_KEY": "k1", "DB": "redis://:pw@redis/0", "UNSET": None},
        "command": ["python", "entrypoint.py"],
        "restart": "always",
        "networks": {"backend": None},
        "volumes": [
            {"type": "bind", "source": "/srv/shop/data", "target": "/data"},
            {"type": "volume", "source": "models", "target": "/models", "read_only": True},
        ],
        **changes.pop("config", {}),
    }
    return {"name": name, "config": config, "image": IMAGE, "user": "1000", "agent_name": "support", **changes}


def project(*services: Any, api: str | None = None, workers: list[str] | None = None) -> Any:
    return {
        "name": "Shop_1",
        "services": list(services),
        "workers": workers or ["agent-worker"],
        "api": api,
        "networks": {"backend": "shop_net"},
        "volumes": {"models": "shop_models"},
    }


def entry(*services: Any, **more: Any) -> imported.Entry:
    (found,) = imported.entries(project(*(services or (service(),)), **more), "shop-1", CONNECTION)
    return found


def test_name_server_and_image_are_those_of_the_worker() -> None:
    variables = entry().variables
    assert (variables["livekit_agent_name"], variables["livekit_url"]) == ("support", "wss://livekit.test")
    assert (variables["livekit_agent_image"], variables["agent_api_image"]) == (IMAGE, "")
    assert (variables["agent_release_app"], variables["livekit_agent_adopt_project"]) == ("shop-1", "Shop_1")


def test_what_is_secret_is_for_the_vault_alone() -> None:
    found = entry()
    assert found.secrets == {
        "vault_livekit_api_key": "APIkey",
        "vault_livekit_api_secret": "s" * 40,
        "vault_livekit_agent_model_key": "k1",
        "vault_livekit_agent_db": "redis://:pw@redis/0",
    }
    assert found.variables["livekit_agent_secret_env"]["DB"] == "{{ vault_livekit_agent_db }}"
    assert found.variables["livekit_agent_env"] == {"MODEL": "small"}
    for value in found.secrets.values():
        assert value not in str(found.variables)
        assert value not in repr(found)


def test_volumes_and_networks_are_those_of_the_host() -> None:
    variables = entry().variables
    assert variables["livekit_agent_volumes"] == ["/srv/shop/data:/data", "shop_models:/models:ro"]
    assert variables["livekit_agent_compose"]["networks"] == ["default", "shop_net"]


def test_a_dollar_is_one() -> None:
    found = entry(service(config={"command": ["sh", "-c", "echo $$HOME"]}))
    assert found.variables["livekit_agent_command"][-1] == "echo $HOME"


def test_the_api_has_its_port_and_no_agent_name_of_its_own() -> None:
    web = service("fastapi", port=8000, health_path="/health", config={"command": None})
    variables = entry(service(), web, api="fastapi").variables
    assert (variables["agent_api_image"], variables["agent_api_container_port"]) == (IMAGE, 8000)
    assert variables["agent_api_health_path"] == "/health"
    assert "AGENT_NAME" not in variables["agent_api_env"]


def test_each_worker_is_an_entry() -> None:
    greeter = service("greeter", agent_name="greeter")
    found = imported.entries(project(service(), greeter, workers=["agent-worker", "greeter"]), "shop-1", CONNECTION)
    assert [(one.host, one.variables["livekit_agent_name"]) for one in found] == [
        ("shop-1", "support"),
        ("shop-1-greeter", "greeter"),
    ]
    assert len({one.variables["agent_release_app"] for one in found}) == 2


def test_what_a_release_cannot_have_is_told_with_what_to_do() -> None:
    found = entry(service(config={"privileged": True, "network_mode": "host", "shm_size": "64m"}))
    assert found.variables["livekit_agent_compose"]["shm_size"] == "64m"
    assert "shop-1: agent-worker has privileged, which a release cannot have: add what it needs with cap_add" in str(
        found.notes
    )
    assert any("network_mode" in note for note in found.notes)


def test_root_keeps_what_it_needs() -> None:
    found = entry(service(user=""))
    assert found.variables["livekit_agent_compose"]["cap_add"] == imported.OF_ROOT
    assert "runs as root" in found.notes[0]


WRITES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("nothing", {}, {}),
    (
        "a directory of its own",
        {"added": ["/app/logs", "/app/logs/a.log"], "changed": ["/app"]},
        {"tmpfs": ["/app/logs"]},
    ),
    ("a file of the image", {"changed": ["/app", "/app/state.json"]}, {"read_only": False}),
    ("a file beside those of the image", {"added": ["/app/new.txt"], "changed": ["/app"]}, {"read_only": False}),
    ("a volume", {"added": ["/data", "/data/x"]}, {}),
    ("where a release has a tmpfs", {"added": ["/tmp/a", "/tmp/a/b"], "changed": ["/tmp"]}, {}),
]


@pytest.mark.parametrize(("written", "expected"), [pytest.param(*row[1:], id=row[0]) for row in WRITES])
def test_what_a_container_writes_to_goes_on_being_writable(written: Any, expected: dict[str, Any]) -> None:
    compose = entry(service(**written)).variables["livekit_agent_compose"]
    assert {key: value for key, value in compose.items() if key in ("tmpfs", "read_only")} == expected


@pytest.mark.parametrize(("text", "seconds"), [("2m0s", 120), ("1h", 3600), ("90s", 90), ("", 0), ("soon", 0)])
def test_stop_grace_period_is_the_drain_timeout(text: str, seconds: int) -> None:
    variables = entry(service(config={"stop_grace_period": text})).variables
    assert variables.get("livekit_agent_drain_timeout_seconds", 0) == seconds


def test_what_is_written_is_accepted_by_a_deployment() -> None:
    web = service("fastapi", port=8000, user="", config={"privileged": True})
    variables = entry(service(), web, api="fastapi").variables
    plain = {**variables, "livekit_agent_secret_env": {}, "agent_api_secret_env": {}}
    assert [text for prefix in ("livekit_agent", "agent_api") for text in service_problems(plain, prefix)] == []
