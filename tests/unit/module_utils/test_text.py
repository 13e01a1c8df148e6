"""Foreign text is read with bounds and leaves a host without secrets and escapes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy import text
from ansible.module_utils.livekit_deploy.text import MASK, Masker

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJkZXZrZXkifQ.abcdefghijklmnop"


@pytest.mark.parametrize("depth", [33, 1_000, 10_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_json_is_none(depth: int, opening: str, closing: str) -> None:
    assert text.parsed(opening * depth + "1" + closing * depth) is None


@pytest.mark.parametrize("words", ["", "{", "nope", "1" * 5000, '"' + "x" * text.JSON_CHARACTERS + '"', "\ufeff{}", '{"a": NaN', "[1e999"])
def test_what_is_no_json_is_none(words: str) -> None:
    assert text.parsed(words) is None


def test_brackets_in_a_text_are_no_nesting() -> None:
    assert text.parsed_object(json.dumps({"message": "[" * 100 + "\\" + '"' + "{" * 100})) != {}


@pytest.mark.parametrize("words", ["[1,2]", "3", "null", '"x"', "no"])
def test_anything_but_an_object_is_an_empty_one(words: str) -> None:
    assert text.parsed_object(words) == {}


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\rb\x08c\x7f", "abc"),
        ("\u202ereversed\u2066", "reversed"),
        ("tab\tand\nline stay", "tab\tand\nline stay"),
        ("\x9b31mC1", "31mC1"),
        ("lone \ud800 surrogate", "lone  surrogate"),
    ],
)
def test_what_a_terminal_would_do_something_with_is_taken_out(words: str, shown: str) -> None:
    assert text.plain(words) == shown


SECRETS = {
    "OPENAI_API_KEY": "sk-12345",
    "DB_PASSWORD": "word",
    "CERT": "-----BEGIN-----\nabcdefghijkl\n",
    "PLAIN": "correct horse",
}


@pytest.mark.parametrize(
    "words",
    [
        "Incorrect API key provided: sk-12345",
        "connecting with word",
        "correct horse",
        "line: abcdefghijkl",
        json.dumps({"key": SECRETS["CERT"]}),
        "sk-\x1b[1m12345",
    ],
)
def test_values_of_a_programs_environment_are_masked(words: str) -> None:
    shown = Masker.of(SECRETS)(words)
    assert MASK in shown
    assert not any(secret in shown for secret in ("sk-12345", "correct horse", "abcdefghijkl", "with word"))


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (f"token {TOKEN} end", f"token {MASK} end"),
        ("postgres://app:pw@db:5432/x", f"postgres://{MASK}@db:5432/x"),
        ("https://user:a%40b@host/path", f"https://{MASK}@host/path"),
        ("wss://livekit.test/agent?access_token=abc&x=1", f"wss://livekit.test/agent?access_token={MASK}&x=1"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ('proxy_set_header Authorization "Basic abc";', f'proxy_set_header Authorization "Basic {MASK}";'),
        ("http://host:8080/path", "http://host:8080/path"),
        ("ratio 3:2 at 10:20", "ratio 3:2 at 10:20"),
    ],
)
def test_tokens_and_credentials_are_masked_also_where_no_value_is_known(words: str, shown: str) -> None:
    assert Masker()(words) == shown


@pytest.mark.parametrize(
    "environment",
    [
        {"AGENT_NAME": "sidekick-agent", "OWN_NAME": "sidekick-agent"},
        {"LIVEKIT_URL": "wss://livekit.test"},
        {"DEBUG": "true"},
        {"PORT": "18101000"},
        {"CACHE": "/tmp/uv-cache"},
        {"MODE": "staging"},
        {"API_KEY": ""},
    ],
)
def test_what_has_to_be_read_in_a_log_stays(environment: dict[str, str]) -> None:
    words = "sidekick-agent at wss://livekit.test true 18101000 /tmp/uv-cache staging"
    assert Masker.of(environment)(words) == words


def test_the_longest_secret_is_masked_first() -> None:
    assert Masker.of({"A_KEY": "abcd", "B_KEY": "abcdefgh"})("abcdefgh") == MASK


@pytest.mark.parametrize("value", [{"a": ["sk-12345", {"b": "sk-12345"}], "n": 1, "t": None}, ("sk-12345",)])
def test_each_text_of_an_answer_is_masked(value: Any) -> None:
    shown = json.dumps(Masker(["sk-12345"]).all(value))
    assert "sk-" not in shown


def access_token(claims: Any) -> str:
    return f"eyJhbGciOiJIUzI1NiJ9.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("given", "room"),
    [
        (access_token({"video": {"room": "desk-7"}}), "desk-7"),
        (access_token({"video": {}}), ""),
        (access_token({"video": {"room": 7}}), ""),
        (access_token(["desk-7"]), None),
        ("aa.bb.cc", None),
        ("desk-7", None),
    ],
)
def test_room_of_an_access_token_is_read(given: str, room: str | None) -> None:
    assert text.token_room(given) == room


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (json.dumps({"token": access_token({"video": {"room": 'a "b"'}})}), {"token": 'a "b"'}),
        (json.dumps({"token": TOKEN, "room": "desk-7"}), {"token": TOKEN, "room": "desk-7"}),
    ],
)
def test_room_stands_in_the_place_of_its_token(given: str, shown: dict[str, str]) -> None:
    assert json.loads(text.rooms_for_tokens(given)) == shown
