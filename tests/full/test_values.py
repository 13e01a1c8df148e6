"""What the inventory gives as an environment value reaches a container byte for byte, whatever it contains."""

from __future__ import annotations

import json
import shlex

import pytest
from ansible.module_utils.livekit_deploy.release import content

from tests.e2e.harness import Lab

VALUES = {
    "PLAIN": "plain",
    "EMPTY": "",
    "SINGLE": "it's",
    "DOUBLE": 'say "hi"',
    "DOLLAR": "$HOME ${X} $$ $(id) `id`",
    "MIXED": 'it\'s $HOME "q" \\ back\\n',
    "LINES": "two\nlines",
    "MIXED_LINES": "it's two\nlines\tand\r\n",
    "BACKSLASH": "\\",
    "TRAILING": "ends with \\",
    "ESCAPED_QUOTE": "a\\'b",
    "ESCAPED_DOLLAR": "it's \\$ and \\\\$x",
    "SPACES": " before and after ",
    "COMMENT": "#no # comment",
    "UNICODE": "ünïcødé 'q' €",
}


@pytest.fixture(scope="module")
def environment(lab: Lab) -> dict[str, str]:
    """The environment of a container that compose made from our env file, on the host that has an Engine of its own."""
    other = lab.machine(lab.document["other_host"]["name"], lab.document["other_host"]["address"])
    service = {"image": other.containers()[0].image, "pull_policy": "never", "env_file": ["values.env"]}
    files = {
        "values.env": content.env_file(VALUES),
        "compose.yml": json.dumps({"name": "values", "services": {"it": service}}),
    }
    writes = "; ".join(f"printf %s {shlex.quote(text)} >{name}" for name, text in files.items())
    made = (
        f"mkdir -p /tmp/values && cd /tmp/values && {writes}; docker compose create >/dev/null 2>&1; "
        "docker inspect values-it-1"
    )
    found = json.loads(other.sh(made))[0]["Config"]["Env"]
    other.sh("cd /tmp/values && docker compose down >/dev/null 2>&1; rm -r /tmp/values")
    return dict(entry.split("=", 1) for entry in found)


@pytest.mark.parametrize("name", VALUES)
def test_value_reaches_the_container_as_it_is(environment: dict[str, str], name: str) -> None:
    assert environment[name] == VALUES[name]
