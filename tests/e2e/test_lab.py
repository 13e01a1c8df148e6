"""The lab repairs itself: twice is a no-op, and what was stopped is started again."""

from __future__ import annotations

import json

from tests.e2e.harness import Lab, docker, lab_command, lab_containers


def test_a_second_up_changes_no_container_of_the_lab(lab: Lab) -> None:
    before = lab_containers()
    lab_command("up", "--hosts", str(len(lab.machines)))
    assert lab_containers() == before


def test_a_second_up_writes_no_file_anew(lab: Lab) -> None:
    files = [lab.inventory, lab.inventory.parents[2] / "lab.json", lab.inventory.parents[1] / "ssh_config"]
    before = [path.stat().st_mtime_ns for path in files]
    lab_command("up", "--hosts", str(len(lab.machines)))
    assert [path.stat().st_mtime_ns for path in files] == before


def test_a_stopped_host_is_started_and_not_made_anew(lab: Lab) -> None:
    machine = lab.machines[1]
    before = lab_containers()
    docker("stop", f"lkad-{machine.name}")
    said = lab_command("up", "--hosts", str(len(lab.machines)))
    after = lab_containers()
    assert f"{machine.name}: was stopped" in said
    assert machine.sh("hostname") == machine.name
    assert {name: made[0] for name, made in after.items()} == {name: made[0] for name, made in before.items()}
    assert {name for name in after if after[name] != before[name]} == {f"lkad-{machine.name}"}


def test_log_of_the_livekit_server_can_be_read_from_its_start(lab: Lab) -> None:
    unit = "livekit-server@main"
    lines = lab.livekit.sh(
        f"journalctl -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID {unit})"
    ).splitlines()
    messages = [json.loads(line)["msg"] for line in lines if line.startswith("{")]
    assert "starting LiveKit server" in messages
    assert "worker registered" in messages


def test_only_the_labs_own_livekit_server_runs(lab: Lab) -> None:
    """The two nodes behind Redis are for the tests that start them."""
    running = lab.livekit.sh("systemctl list-units --state=active --plain --no-legend 'livekit-server@*' 'redis*'")
    assert [line.split()[0] for line in running.splitlines()] == ["livekit-server@main.service"]
