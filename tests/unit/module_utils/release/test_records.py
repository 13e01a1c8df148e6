"""Names, files and drift of a release."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import images
from ansible.module_utils.livekit_deploy.release import content, records


def test_project_is_a_name_that_compose_allows() -> None:
    assert records.compose_project("sidekick", "20261122T101500Z-0a1b2c3d") == "sidekick-20261122t101500z-0a1b2c3d"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "N='plain'"),
        ('$HOME "x" \\ y', "N='$HOME \"x\" \\ y'"),
        ("it's $5", 'N="it\'s $$5"'),
        ("ends with \\", 'N="ends with \\\\"'),
        ("it's\ntwo lines", 'N="it\'s\\ntwo lines"'),
    ],
)
def test_env_line_quotes_what_compose_would_change(value: str, expected: str) -> None:
    assert content.env_line("N", value) == expected


@pytest.mark.parametrize(
    ("image", "digests", "expected"),
    [
        ("registry:5000/app:1", ["registry:5000/app@sha256:aa"], "registry:5000/app@sha256:aa"),
        ("registry:5000/app", ["other/app@sha256:bb", "registry:5000/app@sha256:aa"], "registry:5000/app@sha256:aa"),
        ("app:1", ["app@sha256:aa"], "app@sha256:aa"),
        ("registry:5000/app:1", ["other/app@sha256:bb"], None),
        ("registry:5000/app:1", [], None),
    ],
)
def test_pinned_finds_the_digest_of_the_images_own_repository(
    image: str, digests: list[str], expected: str | None
) -> None:
    assert images.pinned(image, digests) == expected


RECORD: Any = {
    "files": {"compose.yml": records.sha256("services: {}")},
    "config_hashes": {"fastapi": "f", "agent-worker": "w"},
}
RUNNING = {"fastapi": {"running": True, "config_hash": "f"}, "agent-worker": {"running": True, "config_hash": "w"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("services: {}", []),
        ("services: {} # edited", ["compose.yml was edited by hand"]),
        (None, ["compose.yml is missing"]),
    ],
)
def test_file_drift_names_the_file(text: str | None, expected: list[str]) -> None:
    assert content.file_drift(RECORD, {"compose.yml": text}) == expected


@pytest.mark.parametrize(
    ("running", "expected"),
    [
        (RUNNING, []),
        ({"fastapi": RUNNING["fastapi"]}, ["agent-worker is not running"]),
        ({**RUNNING, "agent-worker": {"running": False, "config_hash": "w"}}, ["agent-worker is not running"]),
        (
            {**RUNNING, "fastapi": {"running": True, "config_hash": "x"}},
            ["the fastapi container was made from another configuration"],
        ),
    ],
)
def test_container_drift_names_the_service(running: dict[str, dict[str, Any]], expected: list[str]) -> None:
    assert content.container_drift(RECORD, running) == expected


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        '$HOME "x" \\ y',
        "it's $5",
        "ends with \\",
        "it's\ntwo lines",
        "",
        "a=b",
        "it's \\n no line",
        "two\nlines",
        "with\r\nreturn",
        "\r",
    ],
)
def test_env_file_is_read_back_byte_for_byte(value: str) -> None:
    values = {"A": value, "B": "x"}
    assert content.env_values(content.env_file(values)) == values
