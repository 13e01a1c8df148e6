# SPDX-License-Identifier: Apache-2.0
"""What a person reads: short and with the cause first on the terminal, whole and well-formed in the document."""

from __future__ import annotations

import copy
import itertools
import re
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common.commands import Playbooks
from ansible.module_utils.livekit_deploy.diagnosis import decide
from ansible.module_utils.livekit_deploy.diagnosis.text import markdown, report_lines
from ansible.module_utils.livekit_deploy.diagnosis.world import World

Fleet = dict[str, Any]
RUN = Playbooks(["inventory/staging/hosts.yml"])
PLAYBOOK = RUN.prefix
LONG = "sidekick-20261122t195752z-a9c0df5f-agent-worker-1"


def incident(fleet: Fleet, name: str) -> None:
    """Somebody else's worker under a host's name, on the suspect."""
    agent_name = fleet["data"][name]["agent_name"]
    other = fleet["data"]["other-1"]["evidence"]["workers"]
    ids = {"worker_id": f"AW_foreign{name}", "worker_ids": [f"AW_foreign{name}"], "agent_name": agent_name}
    other.append({**copy.deepcopy(other[0]), **ids, "container": f"rival-of-{name}", "project": "theirs"})
    fleet["verdicts"][name].update(verdict="foreign")
    fleet["verdicts"][name]["routing"].update(foreign=[f"AW_foreign{name}"])


def answered(fleet: Fleet, **more: Any) -> Any:
    found = decide.diagnose(World(**fleet), RUN)
    return {"at": "2026-01-02T03:10:00Z", "server": "ws://livekit.test:7880", "inventory": [], **found, **more}


def lines(fleet: Fleet, **more: Any) -> list[str]:
    return report_lines(answered(fleet, **more))


def document(fleet: Fleet, **more: Any) -> str:
    return markdown(answered(fleet, **more))


@pytest.fixture
def broken(fleet: Fleet) -> Fleet:
    """Three hosts, each with several causes and long names, and much that was not read."""
    fleet["data"]["three"] = copy.deepcopy(fleet["data"]["two"])
    fleet["verdicts"]["three"] = copy.deepcopy(fleet["verdicts"]["two"])
    for name in ("one", "two", "three"):
        incident(fleet, name)
        evidence = fleet["data"][name]["evidence"]
        evidence["workers"][0].update(
            container=LONG, entrypoint_errors=2, last_entrypoint_error="RuntimeError: " + "x" * 200, late=3
        )
        evidence["proxy"]["by_status"] = {"200": 1, "502": 1}
        evidence["unread"] = [f"the proxy's access log: {'rotated ' * 20}"] * 3
    fleet["sip"] = {"checked": False, "reason": "sip not connected (redis required)"}
    return fleet


# --- for the terminal ------------------------------------------------------------------------------------------------


def test_the_first_line_is_the_cause(fleet: Fleet) -> None:
    incident(fleet, "one")
    words = "one (support-one): Another worker holds the name: container rival-of-one (project theirs) on other-1"
    assert lines(fleet)[0] == words


def test_evidence_comes_before_the_remedy(fleet: Fleet) -> None:
    incident(fleet, "one")
    text = "\n".join(lines(fleet))
    assert 0 < text.index("  found  ") < text.index("  to do  ")


def test_the_remedy_is_a_command_on_one_line(fleet: Fleet) -> None:
    incident(fleet, "one")
    assert any(line.endswith(f"{PLAYBOOK} playbooks/evict.yml -e evict_worker=AW_foreignone") for line in lines(fleet))


def test_requests_are_followed_to_the_worker(fleet: Fleet) -> None:
    text = " ".join(" ".join(lines(fleet)).split())
    assert "nginx saw 2 requests (2 with 200), the API dispatched 2: 2 to the worker here, 0 unknown" in text


def test_three_broken_hosts_fit_forty_lines(broken: Fleet) -> None:
    assert len(lines(broken, inventory=["The agent name is used twice. " * 12])) <= 40


def test_one_broken_host_among_three_fits_forty_lines(broken: Fleet) -> None:
    for name in ("two", "three"):
        broken["data"][name].update(evidence={}, unread="host unreachable over SSH: " + "refused " * 40)
    assert len(lines(broken)) <= 40


def test_lines_fit_a_hundred_columns_but_for_commands(broken: Fleet) -> None:
    assert [line for line in lines(broken) if len(line) > 100 and PLAYBOOK not in line and "xxx" not in line] == []


def test_thirty_healthy_hosts_need_two_lines_each_without_requests(fleet: Fleet) -> None:
    for number in range(30):
        fleet["data"][f"host-{number}"] = copy.deepcopy(fleet["data"]["two"])
        fleet["verdicts"][f"host-{number}"] = copy.deepcopy(fleet["verdicts"]["two"])
    assert len(lines(fleet)) <= 4 * 32


def test_a_host_that_was_not_read_is_told_with_the_reason(fleet: Fleet) -> None:
    fleet["data"]["one"].update(evidence={}, unread="host unreachable over SSH: Connection refused")
    assert lines(fleet)[0] == "one (support-one): could not be read: host unreachable over SSH: Connection refused"


def test_what_was_not_read_is_counted(broken: Fleet) -> None:
    assert "more, see diagnose.md" in " ".join(lines(broken)[-2:])


def test_a_possible_cause_is_not_called_the_cause(fleet: Fleet) -> None:
    fleet["data"]["one"]["evidence"]["proxy"].update(requests=0, by_status={})
    assert "no certain cause; possible: Web requests reach other hosts and not this one" in lines(fleet)[0]


# --- for a post-mortem -----------------------------------------------------------------------------------------------

PARTS = [
    "### Cause",
    "Evidence for it:",
    "**Remedy:**",
    "**How to test:**",
    "**How to roll back:**",
    "## Timeline",
    "### Ruled out",
    "## Not read",
]


@pytest.mark.parametrize("part", PARTS)
def test_the_document_has_every_part(fleet: Fleet, part: str) -> None:
    incident(fleet, "one")
    assert part in document(fleet)


def test_what_speaks_against_a_cause_is_in_the_document(fleet: Fleet) -> None:
    incident(fleet, "one")
    assert "Against it:\n\n- the worker of one answered the probe that only it may answer" in document(fleet)


@pytest.mark.parametrize(
    "name", ["AW_foreignone", "rival-of-one", "theirs", "other-1", "support-one", "AD_one-0", "2026-01-02T03:00:00Z"]
)
def test_the_document_has_the_real_names_ids_and_times(fleet: Fleet, name: str) -> None:
    incident(fleet, "one")
    assert name in document(fleet)


def test_commands_are_set_as_code(fleet: Fleet) -> None:
    incident(fleet, "one")
    assert f"`{PLAYBOOK} playbooks/evict.yml -e evict_worker=AW_foreignone`" in document(fleet)


def test_every_row_of_a_table_has_as_many_cells_as_its_heading(broken: Fleet) -> None:
    broken["data"]["one"]["evidence"]["workers"][0]["last_entrypoint_error"] = "Error: a | b"
    tables = re.findall(r"(?:^\|.*\n)+", document(broken), re.MULTILINE)
    counts = [{len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()} for table in tables]
    assert len(counts) > 3
    assert [count for count in counts if len(count) > 1] == []


def test_headings_do_not_skip_a_level(broken: Fleet) -> None:
    levels = [len(found) for found in re.findall(r"^(#+) ", document(broken), re.MULTILINE)]
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_blocks_are_apart_by_one_empty_line(broken: Fleet) -> None:
    assert "\n\n\n" not in document(broken)
    assert document(broken).endswith("\n")


def test_a_host_with_nothing_wrong_is_short(fleet: Fleet) -> None:
    incident(fleet, "one")
    part = document(fleet).split("\n## two\n")[1].split("\n## ")[0]
    assert "**Nothing wrong:" in part
    assert "###" not in part


def test_several_causes_are_numbered(broken: Fleet) -> None:
    assert "### Cause 1: Another worker holds the name" in document(broken)


def test_what_is_wrong_in_the_inventory_is_a_finding(fleet: Fleet) -> None:
    problem = "The agent name 'x' is used by a and b"
    assert f"## Wrong in the inventory\n\n- {problem}" in document(fleet, inventory=[problem])
    assert problem in lines(fleet, inventory=[problem])[0]


def test_a_run_that_read_everything_says_so(fleet: Fleet) -> None:
    assert "Everything that was looked for could be read." in document(fleet)
