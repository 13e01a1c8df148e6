"""What goes wrong on the way: told with found, expected, what to do, nothing half-done, the old release serves on.

More of it is in `tests/full/test_trouble.py`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.harness import Lab, Run, with_fault

NAMES = ["staging-1", "staging-2"]
OTHER_SECRET = "x" * 20 + "-not-the-servers-secret"


@dataclass(frozen=True)
class Trouble:
    """A run that was to fail, and what the hosts were before and after it."""

    run: Run
    seconds: float
    before: list[dict[str, Any]]
    after: list[dict[str, Any]]


def trouble(lab: Lab, **options: Any) -> Trouble:
    before = [machine.state() for machine in lab.machines]
    started = time.monotonic()
    run = lab.play("deploy.yml", **options)
    seconds = time.monotonic() - started
    return Trouble(run, seconds, before, [machine.state() for machine in lab.machines])


def assert_told(run: Run, host: str, *words: str) -> None:
    """The host's reason has the words; the run failed and says so in the report, the table and the exit status."""
    assert run.rc != 0
    assert run.report["ok"] is False
    row = run.row(host)
    failed = [
        text for check in row["checks"] if not check["ok"] for text in ("expected", check["expected"], check["remedy"])
    ]
    reason = " ".join([run.reason(host), *failed])
    assert [word for word in words if word not in reason] == [], reason
    assert "expected" in reason.lower(), reason
    assert words[0] in " ".join(run.stdout.split())


# --- before anything is touched --------------------------------------------------------------------------------------


def server_troubles(lab: Lab) -> dict[str, tuple[dict[str, str], list[str]]]:
    return {
        "server unreachable": ({"livekit_url": f"ws://{lab.livekit_host}:7999"}, [f"{lab.livekit_host}:7999"]),
        "wrong key": ({"livekit_api_key": "nobodys-key"}, ["livekit_api_key"]),
        "wrong secret": ({"livekit_api_secret": OTHER_SECRET}, ["livekit_api_secret"]),
    }


@pytest.mark.parametrize("kind", ["server unreachable", "wrong key", "wrong secret"])
def test_what_the_server_refuses_is_told_at_once_and_no_host_is_contacted(lab: Lab, kind: str) -> None:
    extra_vars, words = server_troubles(lab)[kind]
    started = time.monotonic()
    run = lab.play("deploy.yml", extra_vars=extra_vars)
    assert time.monotonic() - started < 10
    for name in NAMES:
        assert_told(run, name, *words)
    assert run.hosts() == {"localhost"}
    assert OTHER_SECRET not in run.transcript


def test_a_tag_the_registry_does_not_have_is_told_before_anything_is_touched(lab: Lab) -> None:
    image = f"{lab.document['registry']}/sidekick-api:gone"
    found = trouble(lab, extra_vars={"agent_api_image": image})
    for name in NAMES:
        assert_told(found.run, name, f"no image {image}", "agent_api_image")
    assert found.after == found.before


# All that an inventory is refused for is told at once.
SETTINGS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "key that no compose service has": (
        {"livekit_agent_compose": {"shm_sze": "1g"}},
        ("livekit_agent_compose has the key 'shm_sze'", "did you mean 'shm_size'"),
    ),
    "key that a release decides": (
        {"agent_api_compose": {"ports": ["80:80"]}},
        ("'ports'", "set agent_api_container_port"),
    ),
    "secret that is a placeholder": (
        {"livekit_agent_secret_env": {"MODEL_KEY": "CHANGE_ME"}},
        ("livekit_agent_secret_env.MODEL_KEY is a placeholder", "in the vault"),
    ),
    "secret that is missing": (
        {"agent_api_secret_env": {"MODEL_KEY": "{{ vault_model_key }}"}},
        ("agent_api_secret_env.MODEL_KEY cannot be read ('vault_model_key' is undefined)", "in the vault"),
    ),
}


@pytest.fixture(scope="module")
def settings(lab: Lab) -> Trouble:
    return trouble(
        lab, extra_vars={name: value for one, _ in SETTINGS.values() for name, value in one.items()}, limit="staging-1"
    )


@pytest.mark.parametrize("case", SETTINGS)
def test_refused_before_a_host_is_contacted(case: str, settings: Trouble) -> None:
    assert_told(settings.run, "staging-1", *SETTINGS[case][1])
    assert settings.run.hosts() == {"localhost"}


# --- a worker that is not what it should be --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_faults(lab: Lab, deployed: Lab) -> Trouble:
    """Both hosts at once, each with a fault of its own."""
    hosts = {
        "staging-1": with_fault("hardcoded_name"),
        "staging-2": with_fault("never_registers", livekit_agent_register_timeout_seconds=8),
    }
    return trouble(deployed, inventory=lab.inventory_of("two-faults", hosts))


def test_a_worker_that_hard_codes_another_name_is_told(two_faults: Trouble) -> None:
    words = ["'hardcoded-by-fault'", "'sidekick-agent-staging-staging-1'", "Remove the name from the worker's code"]
    assert_told(two_faults.run, "staging-1", *words)


def test_a_worker_that_never_registers_is_told_with_its_last_lines(two_faults: Trouble) -> None:
    assert_told(two_faults.run, "staging-2", "has not registered", "failed to connect to livekit")


def test_a_worker_that_never_registers_is_not_waited_for_longer_than_asked(two_faults: Trouble) -> None:
    assert two_faults.seconds < 40


def test_the_reason_says_what_serves_now(two_faults: Trouble) -> None:
    for name, before in zip(NAMES, two_faults.before, strict=True):
        assert f"Serving now: {before['serving']}" in two_faults.run.reason(name)


def test_a_worker_that_cannot_register_leaves_the_host_as_it_was(two_faults: Trouble) -> None:
    assert two_faults.after == two_faults.before


@pytest.fixture(scope="module")
def entrypoint(lab: Lab, deployed: Lab) -> Trouble:
    """The first host's new worker passes the directed probe and fails a real call."""
    extra_vars = {"verification_preview_deadline_seconds": 8}
    inventory = lab.inventory_of("entrypoint", {"staging-1": with_fault("entrypoint_raises")})
    return trouble(deployed, inventory=inventory, extra_vars=extra_vars, limit="staging-1")


def test_an_entrypoint_that_raises_fails_in_the_rehearsal_before_the_switch(entrypoint: Trouble) -> None:
    assert_told(
        entrypoint.run,
        "staging-1",
        "the rehearsal failed",
        "did not join the room",
        "look for an exception in the entrypoint",
    )
    assert entrypoint.after == entrypoint.before
    assert "switch the proxy" not in entrypoint.run.stdout


def test_the_exception_of_the_entrypoint_is_shown(entrypoint: Trouble) -> None:
    assert "SIDEKICK_FAULT=***" in " ".join(entrypoint.run.stdout.split())


@pytest.fixture(scope="module")
def failed_after_the_switch(lab: Lab, deployed: Lab) -> Trouble:
    """The first host's API is asked at a port where no proxy listens; nothing changes on the second."""
    nowhere = f"http://{lab.machines[0].address}:81/v1/preview"
    change = {"livekit_agent_memory": "1450m", "verification_preview": {"url": nowhere}}
    return trouble(deployed, inventory=lab.inventory_of("no-proxy", {"staging-1": change}))


def test_a_release_that_fails_after_the_switch_is_told(failed_after_the_switch: Trouble) -> None:
    assert_told(failed_after_the_switch.run, "staging-1", "preview", ":81")
    row = failed_after_the_switch.run.row("staging-1")
    assert [check["name"] for check in row["checks"] if not check["ok"]] == ["preview"]


def test_the_old_release_serves_again_from_the_same_containers(failed_after_the_switch: Trouble) -> None:
    assert failed_after_the_switch.after == failed_after_the_switch.before


def test_a_host_with_nothing_to_change_is_proven_beside_one_that_fails(failed_after_the_switch: Trouble) -> None:
    row = failed_after_the_switch.run.row("staging-2")
    assert (row["verdict"], failed_after_the_switch.run.changed.get("staging-2")) == ("exclusive", None)


# --- hosts that are away, hosts that differ --------------------------------------------------------------------------


def ghost(lab: Lab, number: int) -> dict[str, Any]:
    """A host at an address of the lab's network that nobody has."""
    return lab.newcomer(f"ghost-{number}", f"{lab.livekit_host.rpartition('.')[0]}.{250 - number}")


@pytest.fixture(scope="module")
def one_away(lab: Lab, deployed: Lab) -> Trouble:
    """The first host changes, the second does not, and a third one is unreachable."""
    hosts = {"staging-1": {"livekit_agent_memory": "1400m"}, **ghost(lab, 1)}
    return trouble(deployed, inventory=lab.inventory_of("one-away", hosts))


def test_a_host_that_is_away_fails_the_run_and_is_told(one_away: Trouble) -> None:
    assert one_away.run.rc != 0
    assert one_away.run.report["ok"] is False
    assert one_away.run.row("ghost-1")["verdict"] == "unreachable"
    assert "host unreachable over SSH" in one_away.run.reason("ghost-1")


def test_the_other_hosts_are_deployed_and_proven_without_the_one_that_is_away(one_away: Trouble) -> None:
    assert [one_away.run.row(name)["verdict"] for name in NAMES] == ["exclusive", "exclusive"]
    assert one_away.after[0]["serving"] != one_away.before[0]["serving"]


def test_an_unchanged_host_beside_a_changed_one_before_it_in_the_order_is_left_alone(one_away: Trouble) -> None:
    assert one_away.after[1] == one_away.before[1]


# --- after all of it -------------------------------------------------------------------------------------------------


def test_verification_is_green_after_all_that_without_any_repair(lab: Lab) -> None:
    run = lab.play("playbooks/verify.yml")
    assert run.rc == 0, run.stdout
