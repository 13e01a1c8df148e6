"""What an inventory defines, against the argument specs: each refusal with the twin that is allowed beside it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.inventory.arguments import argument_problems

SPECS: dict[str, Any] = {
    "sample": {
        "argument_specs": {
            "main": {
                "options": {
                    "sample_keep": {"type": "int", "default": 3},
                    "sample_share": {"type": "float"},
                    "sample_start_timeout_seconds": {"type": "int"},
                    "sample_port": {"type": "int"},
                    "sample_version": {"type": "str"},
                    "sample_goal": {"type": "str", "choices": ["keep", "drop"]},
                    "sample_texts": {"type": "list", "elements": "str"},
                    "sample_accept_inconclusive": {"type": "bool"},
                    "sample_ports": {"type": "list", "elements": "int"},
                    "sample_secret_env": {"type": "dict"},
                    "sample_memory": {"type": "str"},
                    "sample_preview": {"type": "bool"},
                    "livekit_agent_name": {"type": "str", "required": True},
                }
            }
        }
    },
    "other": {"argument_specs": {"main": {"options": {"other_path": {"type": "path"}}}}},
}
SECRET = "k3yOfAtLeast32Bytes-Qw7Zt1Yx9Lm4Pv2"


def problems(**variables: Any) -> list[str]:
    return argument_problems({"a": variables}, ["a"], SPECS)


TYPES = [
    # variable, refused, words, allowed
    (
        "sample_keep",
        "three",
        "a: sample_keep is 'three', expected a whole number from 0 on. Correct it in the inventory.",
        3,
    ),
    ("sample_keep", None, "is empty", "3"),
    ("sample_keep", 2.5, "is 2.5, expected a whole number", 2),
    ("sample_keep", -1, "is -1, expected a whole number from 0 on", 0),
    ("sample_keep", "10s", "is '10s', expected a whole number", "10"),
    ("sample_keep", True, "is True, expected a whole number", 1),
    ("sample_keep", [1], "is of type list, expected a whole number", 1),
    ("sample_share", "nan", "is 'nan', expected a number from 0 on", "0.5"),
    ("sample_share", float("inf"), "is inf, expected a number", 1),
    ("sample_start_timeout_seconds", 0, "is 0, expected a whole number from 1 on", 1),
    ("sample_port", 65536, "is 65536, expected a whole number from 1 to 65535", 65535),
    ("sample_ports", [1, 0], "has an element that is 0, expected a whole number from 1 to 65535", [1]),
    ("sample_ports", [1, "two"], "expected list of int", [1, 2]),
    ("sample_ports", "1,2", "of type str", []),
    ("sample_secret_env", "A=1", "that is no dict", {"A": "1"}),
    ("sample_memory", ["2g"], "of type list", "2g"),
    ("sample_memory", None, "of type nothing", "2000000000"),
    ("sample_memory", 2000000000, "of type int that is no str, expected str: put it in quotes", "2GB"),
    ("sample_memory", "512", "is '512', expected a size from 6m on", "512m"),
    ("sample_memory", "lots", "is 'lots', expected a size", "1.5g"),
    ("sample_version", 20.10, "of type float that is no str, expected str: put it in quotes", "20.10"),
    ("sample_version", date(2026, 1, 2), "of type date that is no str", "2026-01-02"),
    ("sample_version", True, "of type bool that is no str", "yes"),
    ("sample_goal", "Keep", "is 'Keep', expected one of keep, drop", "drop"),
    ("sample_texts", ["a", 1], "has an element that has a value of type int that is no str", ["a", "1"]),
    ("sample_preview", "perhaps", "is 'perhaps', expected true or false", "no"),
    ("sample_preview", "y", "is 'y', expected true or false", "YES"),
    ("sample_preview", "t", "is 't', expected true or false", "On"),
    ("sample_preview", " true", "is ' true', expected true or false", 1),
    ("sample_preview", None, "is empty, expected true or false", False),
    ("sample_preview", 2, "is 2, expected true or false", "0"),
    ("other_path", ["/opt"], "that is no path", "/opt"),
]


@pytest.mark.parametrize(("variable", "refused", "words", "allowed"), TYPES)
def test_the_type_of_a_variable(variable: str, refused: Any, words: str, allowed: Any) -> None:
    (found,) = problems(**{variable: refused})
    assert words in found
    assert problems(**{variable: allowed}) == []


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("sample_kep", "did you mean sample_keep?"),
        ("sample_prots", "did you mean sample_ports?"),
        ("sample_zzzzzzzzzzzzzz", "Remove it"),
        ("other_pat", "did you mean other_path?"),
    ],
)
def test_a_name_like_a_role_s_that_no_role_knows(variable: str, words: str) -> None:
    (found,) = problems(**{variable: 1})
    assert found.startswith(f"a: {variable} is no variable of this project")
    assert words in found


@pytest.mark.parametrize(
    "variable", ["keep_samples", "ansible_host_keys", "ansible_user", "__sample_state", "vault_sample_keep", "sample"]
)
def test_a_name_of_somebody_else_s_is_none_of_our_business(variable: str) -> None:
    assert problems(**{variable: object()}) == []


def test_what_the_inventory_s_own_judgement_tells_is_not_told_again() -> None:
    assert problems(livekit_agent_name=12) == []


def test_no_sentence_holds_a_value() -> None:
    (found,) = problems(sample_secret_env=[SECRET])
    assert SECRET not in found


def test_each_host_is_named_and_all_problems_are_told_at_once() -> None:
    hostvars: Any = {"a": {"sample_keep": "x", "sample_kep": 1}, "b": {"sample_keep": []}}
    assert [found.split(" ")[:2] for found in argument_problems(hostvars, ["a", "b"], SPECS)] == [
        ["a:", "sample_keep"],
        ["a:", "sample_kep"],
        ["b:", "sample_keep"],
    ]


def test_a_host_outside_the_group_is_not_looked_at() -> None:
    assert argument_problems({"a": {}, "b": {"sample_keep": "x"}}, ["a"], SPECS) == []


class Raising(dict[str, Any]):
    """Stands for variables of which one cannot be templated before its role runs."""

    def __getitem__(self, key: str) -> Any:
        raise ValueError(key)


def test_a_value_that_only_the_role_can_template_is_left_to_it() -> None:
    variables: Mapping[str, Any] = Raising(sample_keep="{{ __sample_state }}")
    assert argument_problems({"a": variables}, ["a"], SPECS) == []


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("dryrun", "dry_run"),
        ("DRY_RUN", "dry_run"),
        ("dry-run", "dry_run"),
        ("force_realese", "force_release"),
        ("livekit_agent_nmae", "livekit_agent_name"),
        ("livkit_url", "livekit_url"),
        ("samples_keep", "sample_keep"),
        ("deploy_batch", "deploy_batches"),
    ],
)
def test_a_name_close_to_a_known_one_is_refused_with_it(variable: str, meant: str) -> None:
    (found,) = problems(**{variable: "x"})
    assert found.startswith(f"a: {variable} is no variable of this project")
    assert f"did you mean {meant}?" in found


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("force", "force_release"),
        ("dry", "dry_run"),
        ("accept_inconclusive", "sample_accept_inconclusive"),
        ("new_prot", "new_port"),
        ("_dryrun", "dry_run"),
    ],
)
def test_half_a_name_is_refused_on_the_command_line_only(variable: str, meant: str) -> None:
    assert problems(**{variable: "x"}) == []
    (found,) = argument_problems({"a": {variable: "x"}}, ["a"], SPECS, [variable])
    assert found.startswith(f"{variable} (given with -e) is no variable of this project")
    assert f"did you mean {meant}?" in found


@pytest.mark.parametrize(
    "variable",
    [
        "version",
        "env",
        "image",
        "vault_livekit_api_key",
        "my_livekit_url",
        "app",
        "company",
        "remote_user",
        "ansible_port",
        "ansible_host",
    ],
)
def test_a_name_of_the_user_s_own_is_accepted_on_the_command_line(variable: str) -> None:
    assert argument_problems({"a": {variable: "x"}}, ["a"], SPECS, [variable]) == []


def test_what_is_given_with_e_is_told_once_for_all_hosts() -> None:
    hostvars = {host: {"sample_keep": "10s", "dryrun": "x"} for host in "ab"}
    found = argument_problems(hostvars, ["a", "b"], SPECS, ["sample_keep", "dryrun"])
    assert [text.partition(",")[0] for text in found] == [
        "dryrun (given with -e) is no variable of this project",
        "sample_keep (given with -e) is '10s'",
    ]
    assert found[1].endswith("Correct it on the command line.")
