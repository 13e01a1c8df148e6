"""What the inventory gives containers as texts: read as ansible-core does, and refused where it is no text any more."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.module_utils.livekit_deploy.common import values
from ansible.module_utils.livekit_deploy.inventory import compose, preview, rehearsal
from ansible.module_utils.livekit_deploy.inventory.problems import inventory_problems

ENV = (
    "{prefix}.{key} is {found}, expected a text as the container is to have it: put it in quotes, "
    "or end a template with | string"
)
CHANGED = [
    ("22:30", "1350"),
    ("0022", "18"),
    ("on", "True"),
    ("no", "False"),
    ("", "empty"),
    ("8080", "8080"),
    ("1.10", "1.1"),
    ("[a, b]", "of type list"),
    ("{a: b}", "of type dict"),
    ("2026-01-02", "2026-01-02 (of type date)"),
    ("2026-01-02T03:04:05Z", "2026-01-02 03:04:05+00:00 (of type date)"),
    ("1e3", None),  # a text to YAML 1.1
    ("0x1F", "31"),
    ("1_000", "1000"),
    (".inf", "inf"),
    ("~", "empty"),
]
ORDINARY = ["agent_api_env", "livekit_agent_env"]


def problems(text: str, **more: Any) -> list[str]:
    variables = {**yaml.safe_load(text), **more}
    return list(compose.compose_problems({"a": variables}, ["a"]))


@pytest.mark.parametrize("variable", ORDINARY)
@pytest.mark.parametrize(("written", "found"), CHANGED)
def test_a_value_that_yaml_changes_is_refused_with_what_it_became(
    variable: str, written: str, found: str | None
) -> None:
    expected = [f"a: {ENV.format(prefix=variable, key='VALUE', found=found)}"] if found else []
    assert problems(f"{variable}: {{VALUE: {written}}}") == expected
    assert problems(f"{variable}: {{VALUE: '{written}'}}") == []


@pytest.mark.parametrize("written", ["22:30", "0022", "on", "1.10", "[a, b]", "2026-01-02"])
def test_a_secret_that_yaml_changes_is_refused_without_its_value(written: str) -> None:
    (found,) = problems(f"livekit_agent_secret_env: {{PIN: {written}}}")
    assert found.startswith("a: livekit_agent_secret_env.PIN is of type ")
    assert str(yaml.safe_load(written)) not in found.replace("of type list", "")


@pytest.mark.parametrize(
    "value",
    [
        "two\nlines",
        "end \n",
        " spaces ",
        "$HOME $$ ${X}",
        "ünï 'q' \"d\" €",
        "{{ not_a_template }}",
        "\\",
        "#no",
        "a\u2028b",
        "22:30",
        "{%",
    ],
)
def test_a_text_is_accepted_as_it_is(value: str) -> None:
    assert problems("{}", livekit_agent_env={"VALUE": value}, agent_api_secret_env={"SECRET": value}) == []


@pytest.mark.parametrize(
    ("value", "words"), [("a\0b", "has a NUL character in it"), ("\ud800", "has half a character in it")]
)
def test_a_text_that_no_environment_can_hold_is_refused(value: str, words: str) -> None:
    (found,) = problems("{}", livekit_agent_secret_env={"VALUE": value})
    assert words in found
    assert value not in found


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{on: '1'}", "has the key True, expected a text: put it in quotes"),
        ("{12: '1'}", "has the key 12"),
        ("{'A B': '1'}", "has the key 'A B', expected letters, digits and underscores"),
        ("{'A=B': '1'}", "has the key 'A=B'"),
        ("{'1A': '1'}", "has the key '1A'"),
        ("{'': '1'}", "has the key ''"),
    ],
)
def test_a_name_that_would_be_another_one_is_refused(written: str, words: str) -> None:
    (found,) = problems(f"livekit_agent_env: {written}")
    assert words in found


@pytest.mark.parametrize(
    ("variable", "remedy"),
    [
        ("AGENT_NAME", "Set livekit_agent_name, and remove it here"),
        ("LIVEKIT_URL", "Set livekit_url, and remove it here"),
        ("LIVEKIT_DEPLOY_GATE", "Remove it"),
    ],
)
def test_a_value_that_a_release_would_write_over_is_refused(variable: str, remedy: str) -> None:
    given = {"livekit_agent_name": "mine", "livekit_url": "wss://mine"}
    for where in ("agent_api_env", "livekit_agent_secret_env"):
        (found,) = problems("{}", **given, **{where: {variable: "other"}})
        assert found == f"a: {where} has {variable}, which a release sets itself, expected none of its own. {remedy}"


def test_the_same_value_as_the_release_s_own_is_accepted() -> None:
    assert problems("{}", livekit_api_key="k", agent_api_secret_env={"LIVEKIT_API_KEY": "k"}) == []


def test_a_variable_that_is_both_secret_and_not_is_refused() -> None:
    (found,) = problems("{}", agent_api_env={"A": "1"}, agent_api_secret_env={"A": "2"})
    assert found == "a: agent_api_env and agent_api_secret_env both have A, expected it in one of them. Remove one"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{labels: {a: on}}", "livekit_agent_compose.labels.a has a value of type bool"),
        ("{labels: {on: a}}", "livekit_agent_compose.labels has the key True"),
        ("{labels: {a: 22:30}}", "livekit_agent_compose.labels.a has a value of type int"),
        ("{annotations: {a: 1.10}}", "livekit_agent_compose.annotations.a has a value of type float"),
        ("{user: 1000:50}", "livekit_agent_compose.user has a value of type int"),
        ("{entrypoint: [run, 1]}", "livekit_agent_compose.entrypoint has a value of type int"),
        ("{extra_hosts: [22:30]}", "livekit_agent_compose.extra_hosts has a value of type int"),
        (
            "{logging: {driver: syslog, options: {mode: 0022}}}",
            "livekit_agent_compose.logging.options.mode has a value of type int",
        ),
        ("{shm_size: 2026-01-02}", "livekit_agent_compose.shm_size is 2026-01-02 (of type date)"),
    ],
)
def test_a_key_of_compose_that_yaml_changes_is_refused(written: str, words: str) -> None:
    found = problems(f"livekit_agent_compose: {written}")
    assert len(found) == 1
    assert words in found[0]
    assert "put it in quotes" in found[0]


def test_numbers_are_accepted_where_compose_takes_numbers() -> None:
    text = (
        "{cpus: 0.5, shm_size: 268435456, pids_limit: 100, sysctls: {net.core.somaxconn: 1024}, "
        "ulimits: {nofile: 1024}, read_only: false}"
    )
    assert problems(f"livekit_agent_compose: {text}") == []


@pytest.mark.parametrize("variable", ["livekit_agent_command", "livekit_agent_volumes", "livekit_agent_compose"])
def test_a_text_that_a_release_replaces_is_refused(variable: str) -> None:
    text = "@api_port@:/x" if variable.endswith("volumes") else "@api_port@"
    found = problems("{}", **{variable: {"user": text} if variable.endswith("compose") else [text]})
    assert any("has @api_port@, which a release replaces" in one for one in found)


def test_a_date_in_a_command_is_refused() -> None:
    (found,) = problems("livekit_agent_command: [run, 2026-01-02]")
    assert "entry 2 of livekit_agent_command is 2026-01-02 (of type date)" in found


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{headers: {X-Time: 22:30}}", "verification_preview.headers.X-Time has a value of type int"),
        ("{headers: {on: a}}", "verification_preview.headers has the key True"),
        ("{body: {at: 2026-01-02}}", "verification_preview.body.at is 2026-01-02 (of type date)"),
        ("{room: 12}", "verification_preview.room has a value of type int"),
        ("{validate_certs: nope}", "verification_preview.validate_certs is 'nope', expected true or false"),
        ("y", "expected true, false or a dict"),
    ],
)
def test_a_request_that_yaml_changes_is_refused(written: str, words: str) -> None:
    (found,) = preview.preview_problems({"a": yaml.safe_load(f"verification_preview: {written}")}, ["a"])
    assert words in found


def test_a_request_of_texts_is_accepted() -> None:
    text = (
        "verification_preview: {headers: {X-Time: '22:30'}, body: {count: 3, at: '2026-01-02', flag: true}, "
        "validate_certs: no}"
    )
    assert preview.preview_problems({"a": yaml.safe_load(text)}, ["a"]) == []


@pytest.mark.parametrize("written", ["{at: 2026-01-02}", "{on: 1}", "{deep: [{at: 2026-01-02}]}"])
def test_metadata_of_a_rehearsal_that_yaml_changes_is_refused(written: str) -> None:
    (found,) = rehearsal.rehearsal_problems(
        {"a": yaml.safe_load(f"livekit_agent_rehearsal_metadata: {written}")}, ["a"]
    )
    assert "put it in quotes" in found


def test_a_password_of_a_registry_that_yaml_changes_is_refused_without_it() -> None:
    registries = yaml.safe_load("[{address: registry.corp.test, username: bot, password: 0123456}]")
    found = [
        text
        for text in inventory_problems({"a": {"agent_release_registries": registries}}, ["a"])
        if "registries" in text
    ]
    assert len(found) == 1
    assert "has a password of type int, expected text. Put it in quotes" in found[0]
    assert "42798" not in found[0]


def test_what_only_a_role_can_read_is_refused_on_the_host() -> None:
    given = {"worker": {"A": "a", "PORT": 8080, "FLAG": True, "NONE": None}, "api": {"RATE": 1.5, "LIST": []}}
    assert values.unpassable(given) == [
        "FLAG (of type bool)",
        "LIST (of type list)",
        "NONE (of type nothing)",
        "RATE (of type float)",
    ]
