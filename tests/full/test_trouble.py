"""More that goes wrong on the way: told with found, expected, what to do, nothing half-done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.harness import Lab, Machine, Run
from tests.e2e.test_trouble import Trouble, assert_told, ghost, trouble


def test_a_digest_the_registry_does_not_have_leaves_nothing_behind(lab: Lab) -> None:
    image = f"{lab.document['registry']}/sidekick-worker@sha256:{'0' * 64}"
    found = trouble(lab, extra_vars={"livekit_agent_image": image}, limit="staging-1")
    assert_told(found.run, "staging-1", image, "Push it, or correct livekit_agent_image")
    assert found.after == found.before


def test_an_api_that_is_not_healthy_is_told_and_leaves_nothing_behind(lab: Lab) -> None:
    extra_vars = {"agent_api_health_path": "/nowhere", "agent_api_start_timeout_seconds": 3, "agent_api_memory": "500m"}
    found = trouble(lab, extra_vars=extra_vars, limit="staging-1")
    assert_told(found.run, "staging-1", "404", "HTTP 200 of /nowhere", "agent_api_health_path")
    assert found.after == found.before


PREVIEWS = {
    "that answers an error": ({"path": "/nowhere"}, ("HTTP 404", "HTTP 200", "read the log of the API container")),
    "without a room": (
        {"path": "/healthz", "method": "GET"},
        ("no room at 'room'", "it has 'status'", "verification_preview.room"),
    ),
}


@pytest.mark.parametrize("case", PREVIEWS)
def test_an_api_with_a_preview(case: str, lab: Lab) -> None:
    """It is told before the switch, and leaves nothing behind."""
    request, words = PREVIEWS[case]
    extra_vars = {"verification_preview": request, "agent_api_memory": "501m"}
    found = trouble(lab, extra_vars=extra_vars, limit="staging-1")
    assert_told(found.run, "staging-1", "the new API's preview", *words)
    assert found.after == found.before


HOST_SETTINGS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "value that Compose refuses": (
        {"livekit_agent_compose": {"cpus": "many"}},
        ("Compose refuses the release's file", "cpus", "Correct agent_api_compose"),
    ),
    "network that is not there": (
        {"livekit_agent_compose": {"networks": ["default", "backend"]}},
        ("the host has no network backend", "docker network create"),
    ),
}


@pytest.mark.parametrize("case", HOST_SETTINGS)
def test_refused_before_anything_runs(case: str, lab: Lab) -> None:
    variables, words = HOST_SETTINGS[case]
    found = trouble(lab, extra_vars=variables, limit="staging-1")
    assert_told(found.run, "staging-1", *words)
    assert found.after == found.before


@contextmanager
def without_media(machine: Machine, server: str) -> Iterator[None]:
    """A firewall between a host's containers and the LiveKit server's media: all but its port of API and signals."""
    rules = [f"DOCKER-USER -d {server} -p {what} -j DROP" for what in ("udp", "tcp ! --dport 7880")]
    machine.sh("; ".join(f"iptables -I {rule}" for rule in rules))
    try:
        yield
    finally:
        machine.sh("; ".join(f"iptables -D {rule}" for rule in rules))


@pytest.fixture(scope="module")
def mute(deployed: Lab) -> tuple[Trouble, Run]:
    """A deployment and a verification with the media ports of the server closed to the first host."""
    extra_vars = {"verification_preview_deadline_seconds": 8}
    with without_media(deployed.machines[0], deployed.livekit_host):
        found = trouble(deployed, extra_vars={**extra_vars, "agent_api_memory": "502m"}, limit="staging-1")
        # Both here: the next test is to have its media.
        return found, deployed.play("playbooks/verify.yml", extra_vars=extra_vars, limit="staging-1")


@pytest.mark.parametrize("which", [0, 1], ids=["deployment", "verification"])
def test_an_agent_whose_media_are_blocked_is_told_with_the_ports(
    which: int, lab: Lab, mute: tuple[Trouble, Run]
) -> None:
    run = (mute[0].run, mute[1])[which]
    words = [
        "has no media connection within 8 s",
        f"A firewall between staging-1 and {lab.livekit_host}",
        "rtc.udp_port",
        "rtc.tcp_port",
    ]
    assert_told(run, "staging-1", *words)


def test_an_agent_whose_media_are_blocked_changes_nothing(mute: tuple[Trouble, Run]) -> None:
    assert mute[0].after == mute[0].before


@pytest.fixture(scope="module")
def second_only(deployed: Lab) -> Trouble:
    """The first host stays as it is, the second one changes."""
    return trouble(
        deployed, inventory=deployed.inventory_of("second-only", {"staging-2": {"livekit_agent_memory": "1300m"}})
    )


def test_a_changed_host_after_an_unchanged_one_in_the_order_is_deployed(second_only: Trouble) -> None:
    assert second_only.run.rc == 0, second_only.run.stdout
    assert (
        second_only.after[1]["serving"]
        == second_only.run.row("staging-2")["release"]
        != second_only.before[1]["serving"]
    )


def test_the_unchanged_host_before_it_is_left_alone(second_only: Trouble) -> None:
    assert second_only.after[0] == second_only.before[0]


@pytest.fixture(scope="module")
def all_away(lab: Lab) -> Run:
    inventory = lab.inventory_of("all-away", {**ghost(lab, 1), **ghost(lab, 2)})
    return lab.play("deploy.yml", inventory=inventory, limit="ghost-1:ghost-2")


def test_the_report_is_there_when_every_host_is_away(all_away: Run) -> None:
    assert all_away.rc != 0
    assert (all_away.report["ok"], sorted(all_away.report["hosts"])) == (False, ["ghost-1", "ghost-2"])
    assert all_away.report["finished"]


def test_each_host_that_is_away_has_its_reason(all_away: Run) -> None:
    for name in ("ghost-1", "ghost-2"):
        assert "host unreachable over SSH" in all_away.reason(name)
        assert all_away.row(name)["agent_name"] == f"sidekick-{name}"
