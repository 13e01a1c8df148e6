"""What a container that did not start says of its surroundings, and what is to be set."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.worker.failed_start import start_remedy
from ansible.module_utils.livekit_deploy.worker.registration import registration_trouble

UV = [
    "error: Could not acquire lock",
    "  Caused by: Could not create temporary file",
    '  Caused by: Read-only file system (os error 30) at path "/root/.cache/uv/.tmpAbCdEf"',
]
UV_CACHE = [
    "error: Failed to initialize cache at `/home/app/.cache/uv`",
    "  Caused by: failed to create directory `/home/app/.cache/uv`: Read-only file system (os error 30)",
]
UV_REMEDY = "{UV_CACHE_DIR: /tmp/uv}, or start without uv: %s_command: [.venv/bin/python, agent.py, start]"


@pytest.mark.parametrize("lines", [UV, UV_CACHE, [*UV, "a line after it"]])
@pytest.mark.parametrize("prefix", ["livekit_agent", "agent_api"])
def test_uv_gets_a_cache_or_is_left_out(lines: list[str], prefix: str) -> None:
    said = start_remedy(lines, prefix)
    assert said.endswith(f"Set {prefix}_env: {UV_REMEDY % prefix}")


@pytest.mark.parametrize(
    ("line", "path", "directory"),
    [
        ("OSError: [Errno 30] Read-only file system: '/app/cache/models.bin'", "/app/cache/models.bin", "/app/cache"),
        ("OSError: [Errno 30] Read-only file system: '/app/recordings'", "/app/recordings", "/app/recordings"),
        ("mkdir: cannot create directory '/data': Read-only file system", "/data", "/data"),
        ("sh: 1: cannot create /var/run/app.pid: Read-only file system", "/var/run/app.pid", "/var/run"),
        ("Error: EROFS: read-only file system, open '/usr/src/app/log.txt'", "/usr/src/app/log.txt", "/usr/src/app"),
    ],
)
def test_another_path_gets_a_file_system_of_its_own(line: str, path: str, directory: str) -> None:
    said = start_remedy(["before", line], "livekit_agent")
    assert said.startswith(f"The image writes to {path}, and the root file system of a container is read-only")
    assert f'livekit_agent_compose: {{tmpfs: ["{directory}"]}}' in said
    assert f'livekit_agent_volumes: ["<volume>:{directory}"]' in said


def test_a_line_without_a_path_is_no_reason_to_fail() -> None:
    assert "The image writes to a directory" in start_remedy(["Read-only file system"], "agent_api")


@pytest.mark.parametrize(
    "lines", [[], ["registered worker"], ["Could not acquire lock on the database"], ["\0\x1b[2J", "/" * 5000]]
)
def test_another_failure_gets_no_such_remedy(lines: list[str]) -> None:
    assert start_remedy(lines, "livekit_agent") == ""


@pytest.mark.parametrize("found", [{"running": False, "restarts": 3}, {"running": True, "restarts": 0}])
def test_a_worker_that_did_not_register_says_what_to_set(found: dict[str, Any]) -> None:
    worker: Any = {"worker_id": None, "exit_code": 2, "last_lines": UV, "agent_name": None, "connected": False, **found}
    trouble = registration_trouble([worker], "name")
    assert trouble
    assert "Set livekit_agent_env: {UV_CACHE_DIR: /tmp/uv}" in trouble.text
    assert "Could not acquire lock" in trouble.text
