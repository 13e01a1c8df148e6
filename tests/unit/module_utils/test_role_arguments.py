"""What an inventory defines, against the argument specs: each refusal with the twin that is allowed beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.role_arguments import argument_problems

SPECS: dict[str, Any] = {
    "sample": {
        "argument_specs": {
            "main": {
                "options": {
                    "sample_keep": {"type": "int", "default": 3},
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
    ("sample_keep", "three", "a: sample_keep has a value of type str that is no int, expected int", 3),
    ("sample_keep", None, "of type nothing", "3"),
    ("sample_keep", 2.5, "that is no int", 2),
    ("sample_ports", [1, "two"], "expected list of int", [1, 2]),
    ("sample_ports", "1,2", "of type str", []),
    ("sample_secret_env", "A=1", "that is no dict", {"A": "1"}),
    ("sample_memory", ["2g"], "of type list", "2g"),
    ("sample_memory", None, "of type nothing", 2000000000),
    ("sample_preview", "perhaps", "that is no bool", "no"),
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


@pytest.mark.parametrize("variable", ["samples_keep", "ansible_user", "__sample_state", "vault_sample_keep", "sample"])
def test_a_name_of_somebody_else_s_is_none_of_our_business(variable: str) -> None:
    assert problems(**{variable: object()}) == []


def test_what_the_inventory_s_own_judgement_tells_is_not_told_again() -> None:
    assert problems(livekit_agent_name=12) == []


def test_no_sentence_holds_a_value() -> None:
    (found,) = problems(sample_secret_env=[SECRET])
    assert SECRET not in found


def test_each_host_is_named_and_all_problems_are_told_at_once() -> None:
    hostvars = {"a": {"sample_keep": "x", "sample_kep": 1}, "b": {"sample_keep": []}}
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
