"""The entry of a new host: which name it gets, what is refused, and that nothing else in the file moves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.livekit_deploy.inventory import new_host
from ansible.module_utils.livekit_deploy.inventory.new_host import EntryError, Known, Wanted, entry, inserted

EXAMPLE = (Path(__file__).resolve().parents[4] / "inventory/example/hosts.yml").read_text()
KNOWN = [
    Known("one", "10.0.0.1", "app-one", "shared", "app"),
    Known("two", "host-2.corp.test", "App-Three", "shared", "app"),
]
WANTED = Wanted("three", "10.0.0.3")
TAKEN = ["one", "two", "all", "agent_hosts"]
VALUES = {"ansible_host": "10.0.0.3", "livekit_agent_name": "app-three"}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"host": "four"}, "app-four"),
        ({}, "app-three-2"),  # App-Three is the same but for case
        ({"app": "desk"}, "desk-three"),
        ({"agent_name": "my-own"}, "my-own"),
    ],
)
def test_name_that_nobody_has_is_proposed(changes: dict[str, Any], name: str) -> None:
    assert entry(replace(WANTED, **changes), KNOWN, TAKEN)["livekit_agent_name"] == name


def test_entry_has_what_differs_from_the_group_only() -> None:
    assert list(entry(WANTED, KNOWN, TAKEN)) == ["ansible_host", "livekit_agent_name"]
    more = entry(replace(WANTED, user="debian", port=2222, app="desk"), KNOWN, TAKEN)
    assert (more["ansible_user"], more["ansible_port"], more["agent_release_app"]) == ("debian", 2222, "desk")


def test_shared_name_is_not_proposed() -> None:
    known = [replace(KNOWN[0], shared_name="app-three")]
    assert entry(WANTED, known, TAKEN)["livekit_agent_name"] == "app-three-2"


NO_HOSTS = ("all", "a:b", "a[1:3]", "!a", "*", "a,b", "yes", "12", "null", "a b", "-a")
NO_ADDRESSES = ("", "root@10.0.0.9", "10.0.0.9:22", "ssh://a", "10.0.0")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"host": ""}, "found new_host=''"),
        ({"host": "one"}, "the inventory has one already"),
        ({"host": "ONE"}, "the inventory has one already"),
        ({"host": "agent_hosts"}, "the inventory has agent_hosts already"),
        *(
            ({"host": name}, f"found new_host={name!r}")
            for name in ("all", "a:b", "a[1:3]", "!a", "*", "a,b", "yes", "12", "null", "a b", "-a")
        ),
        ({"host": "1e3"}, ""),
        ({"address": "10.0.0.1"}, "one has the address 10.0.0.1 already"),
        ({"address": "HOST-2.corp.test."}, "two has the address"),
        ({"address": "192.0.2.7"}, "exists for documentation only"),
        ({"address": "a.example.com"}, "exists for documentation only"),
        *(
            ({"address": address}, "expected an IP address or a name")
            for address in ("", "root@10.0.0.9", "10.0.0.9:22", "ssh://a", "10.0.0")
        ),
        ({"port": 70000}, "found new_port=70000"),
        ({"user": "a b"}, "found new_user='a b'"),
        ({"agent_name": "app-one"}, "which is the agent name of one"),
        ({"agent_name": "APP-one"}, "which is but for case the agent name of one"),
        ({"agent_name": "shared"}, "which is the shared name of one"),
        ({"agent_name": "a b"}, "without white space"),
        ({"agent_name": "{{ x }}"}, "without white space"),
    ],
)
def test_what_is_refused_says_why(changes: dict[str, Any], said: str) -> None:
    if not said:
        assert entry(replace(WANTED, **changes), KNOWN, TAKEN)
        return
    with pytest.raises(EntryError) as refused:
        entry(replace(WANTED, **changes), KNOWN, TAKEN)
    assert said in str(refused.value)
    assert "expected" in str(refused.value)


def test_address_of_another_application_is_not_refused() -> None:
    assert entry(replace(WANTED, address="10.0.0.1", app="desk"), KNOWN, TAKEN)["agent_release_app"] == "desk"


def test_first_host_needs_the_name_of_the_application() -> None:
    with pytest.raises(EntryError, match="-e new_app="):
        entry(WANTED, [], [])
    assert entry(replace(WANTED, app="app"), [], []) == {"ansible_host": "10.0.0.3", "livekit_agent_name": "app-three"}


# --- the file --------------------------------------------------------------------------------------------------------

NESTED = """all:
  children:
    agent_hosts:
      vars: {a: 1}
      hosts:
        one: # the first
          ansible_host: 10.0.0.1

        # two: not yet
    other:
      hosts: {x: }
"""
VAULTED = """agent_hosts:
  hosts:
    one:
      secret: !vault |
        $ANSIBLE_VAULT;1.1;AES256
        6162
# the end
"""
TEXTS = {
    "the example": EXAMPLE,
    "nested": NESTED,
    "a secret of the vault": VAULTED,
    "json": json.dumps({"agent_hosts": {"hosts": {"one": {"a": 1}}}}, indent=2) + "\n",
    "json of one line": '{"agent_hosts": {"hosts": {}}}\n',
    "no hosts yet": "agent_hosts:\n  hosts:\n",
    "an empty group": "agent_hosts:\n# and that is all\n",
    "variables only": "agent_hosts:\n  vars:\n    a: 1\n",
    "another group": "other:\n  hosts:\n    x:\n",
    "nothing": "",
    "a comment": "---\n# mine\n",
    "hosts without variables": "agent_hosts:\n  hosts:\n    one:\n    two:\n",
    "no new line at the end": "agent_hosts:\n  hosts:\n    one:",
    "text of several lines": (
        "agent_hosts:\n  hosts:\n    one:\n      a: |\n        x\n\n      b: >-\n        y\n        z\n\n\n# end\n"
    ),
    "flow": "agent_hosts: {hosts: {one: {ansible_host: 10.0.0.1}, two: }}\n",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_host_is_added_and_nothing_else_moves(kind: str) -> None:
    before = TEXTS[kind]
    after = inserted(before, "agent_hosts", "three", VALUES)
    found = new_host.found_group(yaml.compose(after, Loader=yaml.SafeLoader), "agent_hosts")
    assert found
    hosts = new_host.pair(found[1], "hosts")
    assert hosts
    assert [key.value for key, _ in hosts[1].value][-1] == "three"
    lines = iter(after.replace(",\n", "\n").splitlines())
    assert all(line in lines for line in before.splitlines() if "{" not in line)


def test_new_host_comes_before_the_comments_that_follow_the_last_one() -> None:
    after = inserted(EXAMPLE, "agent_hosts", "three", VALUES)
    assert after.index("    three:\n      ansible_host: 10.0.0.3\n") < after.index(
        "# A host that already runs a worker"
    )
    assert (
        after.replace("    three:\n      ansible_host: 10.0.0.3\n      livekit_agent_name: app-three\n", "") == EXAMPLE
    )


def test_value_that_yaml_would_read_as_something_else_is_in_quotes() -> None:
    after = inserted(
        "", "agent_hosts", "three", {"ansible_host": "10.0.0.3", "ansible_user": "123", "livekit_agent_name": "yes"}
    )
    assert yaml.safe_load(after)["agent_hosts"]["hosts"]["three"] == {
        "ansible_host": "10.0.0.3",
        "ansible_user": "123",
        "livekit_agent_name": "yes",
    }


@pytest.mark.parametrize("text", ["[agent_hosts]\none\n", "agent_hosts: [a\n", "- a\n", "agent_hosts: {}\n"])
def test_file_that_cannot_be_added_to_is_refused_with_the_entry_or_the_error(text: str) -> None:
    with pytest.raises(EntryError, match=r"Add by hand:\nthree:|expected a YAML inventory"):
        inserted(text, "agent_hosts", "three", VALUES)
