"""Whatever a module found: its answer is one ansible-core takes, without escapes, tokens, credentials or tracebacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common import answer
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.common.text import Masker
from ansible.module_utils.testing import patch_module_args

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJrZXkifQ.abcdefghijkl"


def ended(capsys: pytest.CaptureFixture[str], main: Any, **params: Any) -> dict[str, Any]:
    with patch_module_args({**params, "_ansible_inject_invocation": True}), pytest.raises(SystemExit):
        guarded(main)()
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return dict(json.loads(out))


@pytest.mark.parametrize(
    "said", ["\udcff\udcfe end", "\x1b]0;title\x07\x1b[31mred\x1b[0m", JWT, "wss://key:secret@host", "a\u202eb\x00"]
)
def test_text_of_others_arrives_harmless(capsys: pytest.CaptureFixture[str], said: str) -> None:
    def main() -> None:
        Module({}).exit_json(
            lines=[said], by={said: 1}, nested=[{"deep": (said,)}], raw=said.encode(errors="surrogateescape")
        )

    found = json.dumps(ended(capsys, main), ensure_ascii=False)
    found.encode()
    assert not any(part in found for part in ("\udcff", "\x1b", "\\u001b", "\\u0000", JWT, "secret", "\u202e"))


def test_failure_is_masked_with_the_values_that_the_module_knows(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        module = Module({})
        module.words = Masker(["sk-12345"])
        module.fail_json(msg="it says: Incorrect API key provided: sk-12345 \x1b[2J", services=["sk-12345-is-a-name"])

    found = ended(capsys, main)
    assert found["msg"] == "it says: Incorrect API key provided: *** "
    assert found["services"] == ["sk-12345-is-a-name"]


@pytest.mark.parametrize(
    "error", [ValueError(f"no {JWT}"), RecursionError("deep"), MemoryError(), KeyError("x"), AttributeError("y")]
)
def test_error_that_nobody_expected_is_a_sentence(capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    def main() -> None:
        Module({})
        raise error

    found = ended(capsys, main)
    assert found["failed"]
    assert found["msg"].startswith(f"found: {type(error).__name__}: ")
    assert " at test_answer.py, line " in found["msg"]
    assert JWT not in found["msg"]


def test_wrong_argument_is_refused_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Unsupported parameters" in ended(capsys, lambda: Module({}), strange="x")["msg"]


def test_arguments_are_neither_logged_nor_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []
    monkeypatch.setattr("syslog.syslog", lambda *told: written.append(told))
    spec = {"body": {"type": "raw"}, "headers": {"type": "dict"}, "wait": {"type": "int"}}
    found = ended(
        capsys, lambda: Module(spec).exit_json(), body={"card": "4111-1111"}, headers={"X-Key": "abc-def"}, wait=3
    )
    assert written == []
    assert found["invocation"] == {"module_args": {"body": answer.NOT_SHOWN, "headers": answer.NOT_SHOWN, "wait": 3}}


@pytest.mark.parametrize(
    "value",
    [
        {"\udc80": [b"\xff\xfe", {"\x1b[1m": None}]},
        [chr(code) for code in range(0xD7F0, 0xE010)],
        {"set": {"b", "a"}, "tuple": (1, 2.5, True)},
        "".join(map(chr, range(0x300))),
    ],
)
def test_any_answer_can_be_written_as_json_in_utf_8(value: Any) -> None:
    json.dumps(answer.fit(value), ensure_ascii=False).encode()
