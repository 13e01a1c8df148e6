"""How a value of the user's is read, each with what ansible-core's own readers would make of it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common import values
from ansible.module_utils.parsing.convert_bool import boolean


@pytest.mark.parametrize("word", ["true", "True", "YES", "on", "1", 1, True])
def test_a_switch_that_is_on(word: Any) -> None:
    assert values.switch(word) is True
    assert boolean(word) is True


@pytest.mark.parametrize("word", ["false", "No", "OFF", "0", 0, False])
def test_a_switch_that_is_off(word: Any) -> None:
    assert values.switch(word) is False
    assert boolean(word) is False


@pytest.mark.parametrize(
    "word", ["y", "t", "n", "f", "enabled", " true", "true\n", "", "None", None, 2, 1.0, [], {}, "1.0", "tru\u0435"]
)
def test_a_word_that_is_no_switch(word: Any) -> None:
    assert values.switch(word) is None
    assert values.not_a_switch(word) == "true or false"


@pytest.mark.parametrize(("given", "read"), [(0, 0), ("0", 0), ("30", 30), (30, 30), ("999999999", 999999999)])
def test_a_whole_number(given: Any, read: int) -> None:
    assert values.whole(given) == read


@pytest.mark.parametrize(
    "given",
    [
        -1,
        "-1",
        "10s",
        "1_0",
        " 1",
        "1 ",
        "1e3",
        "0x10",
        "010",
        "\u0663",
        1.0,
        "1.0",
        True,
        None,
        [1],
        10**12,
        "",
        "nan",
        "inf",
    ],
)
def test_what_is_no_whole_number(given: Any) -> None:
    assert values.whole(given) is None
    assert values.not_a_whole(given) == "a whole number from 0 on"


@pytest.mark.parametrize(("given", "read"), [(0, 0.0), (1.5, 1.5), ("1.5", 1.5), ("30", 30.0)])
def test_a_number(given: Any, read: float) -> None:
    assert values.number(given) == read


@pytest.mark.parametrize(
    "given", [-0.1, float("nan"), float("inf"), 1e300, "nan", "inf", "1e3", ".5", "5.", "10s", True, None, "1,5"]
)
def test_what_is_no_number(given: Any) -> None:
    assert values.number(given) is None
    assert values.not_a_number(given, 1, 2) == "a number from 1 to 2"


@pytest.mark.parametrize(
    ("given", "read"), [("512m", 2**29), ("2g", 2**31), ("1.5GB", 3 * 2**29), ("6291456", 6 * 2**20), ("1kb", 1024)]
)
def test_a_size(given: str, read: int) -> None:
    assert values.size(given) == read


@pytest.mark.parametrize("given", ["", "m", "2 g", "2t", "-1m", "2gib", 512, None])
def test_what_is_no_size(given: Any) -> None:
    assert values.size(given) is None


def test_a_shown_value_is_short_and_harmless() -> None:
    assert values.shown("\x1b[2Jx" + "y" * 200) == "'\\x1b[2Jx" + "y" * 55 + "'…"
    assert (values.shown(None), values.shown(["secret"]), values.shown(True)) == ("empty", "of type list", "True")
