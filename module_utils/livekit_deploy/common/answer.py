# SPDX-License-Identifier: Apache-2.0
"""How every module of this project ends: nothing leaves it that a terminal would act on, that ansible-core refuses, or
that is a secret.

A module writes nothing into the system's log: its arguments hold tokens and requests. An error that nobody expected is
a sentence.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from ansible.module_utils.basic import AnsibleModule

from .text import Masker

SCALARS = (bool, int, float, type(None))
NOT_SHOWN = "(not shown)"


class Module(AnsibleModule):
    """``words`` masks the messages of a failure; a module that knows values of secrets sets it.

    An answer's other texts are names and facts that the run decides on: of them only tokens, credentials and escapes
    are taken out.
    """

    running: ClassVar[Module | None] = None
    words = Masker()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        Module.running = self

    def log(self, msg: Any, log_args: Any = None) -> None:
        """Write nothing into the system's log."""

    def warn(self, warning: str, **named: Any) -> None:
        super().warn(self.words(str(warning)), **named)

    def exit_json(self, **answer: Any) -> NoReturn:
        super().exit_json(**self.fit(answer))
        raise AssertionError("exit_json ends the module")

    def fail_json(self, msg: str, **answer: Any) -> NoReturn:
        super().fail_json(self.words(str(msg)), **self.fit(answer))
        raise AssertionError("fail_json ends the module")

    def fit(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The answer as it may leave the module, and instead of the arguments only those that are short facts."""
        given = getattr(self, "params", None) or {}
        arguments = {name: value if isinstance(value, SCALARS) else NOT_SHOWN for name, value in given.items()}
        return {**fit(answer), "invocation": {"module_args": arguments}}


PATTERNS = Masker()


def fit(value: Any) -> Any:
    """Return a value with each of its texts, also keys, without escapes, broken characters, tokens and credentials."""
    if isinstance(value, bytes):
        return PATTERNS(value.decode(errors="replace"))
    if isinstance(value, str):
        return PATTERNS(value)
    if isinstance(value, Mapping):
        return {fit(key): fit(one) for key, one in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((fit(one) for one in value), key=str)
    return [fit(one) for one in value] if isinstance(value, (list, tuple)) else value


def guarded(main: Callable[[], None]) -> Callable[[], None]:
    """Let a module end with a sentence whatever happens in it."""

    @functools.wraps(main)
    def run() -> None:
        Module.running = None
        try:
            main()
        except Exception as error:
            if Module.running is None:
                raise
            Module.running.fail_json(msg=unexpected(error))

    return run


def unexpected(error: BaseException) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" at {Path(frame.filename).name}, line {frame.lineno}, in {frame.name}" for frame in where)
    return (
        f"found: {type(error).__name__}: {error}{place}. Expected: no such error. It is a fault of "
        "livekit-agent-deploy: report it with this line"
    )
