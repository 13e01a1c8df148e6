# SPDX-License-Identifier: Apache-2.0
"""What the inventory gives to containers as texts: passed on as it is written, or refused.

YAML reads ``22:30`` as 1350, ``0022`` as 18, ``on`` as true and ``1.10`` as 1.1. What was written is lost by then, so
whatever is no text is refused. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from ..common import values
from .variables import Variables

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# What a release says itself, with the variable that it says it from.
OWN = {
    "AGENT_NAME": "livekit_agent_name",
    "LIVEKIT_AGENT_NAME": "livekit_agent_name",
    "LIVEKIT_URL": "livekit_url",
    "LIVEKIT_API_KEY": "livekit_api_key",
    "LIVEKIT_API_SECRET": "livekit_api_secret",
    "LIVEKIT_DEPLOY_GATE": "",
    "LIVEKIT_DEPLOY_INSTANCE": "",
}


def environment_problems(variables: Variables, prefix: str) -> Iterator[str]:
    """Yield what is wrong with ``<prefix>_env`` and ``<prefix>_secret_env`` of a host, without values of secrets."""
    ordinary, secret = (mapping_variable(variables, f"{prefix}_{kind}") for kind in ("env", "secret_env"))
    for variable, given in ((f"{prefix}_env", ordinary), (f"{prefix}_secret_env", secret)):
        for key in given:
            yield from entry_problems(variable, given, key)
            yield from decided_problems(variables, variable, given, key)
    for key in sorted(str(key) for key in ordinary if key in secret):
        yield f"{prefix}_env and {prefix}_secret_env both have {key}, expected it in one of them. Remove one"


def mapping_variable(variables: Variables, name: str) -> Mapping[Any, Any]:
    try:
        found = variables.get(name)
    except Exception:  # the judgement of types names what fails to template
        return {}
    return found if isinstance(found, Mapping) else {}


def entry_problems(variable: str, given: Mapping[Any, Any], key: Any) -> Iterator[str]:
    if not isinstance(key, str):
        yield f"{variable} has the key {values.shown(key)}, expected a text: {values.QUOTES}"
    elif not NAME.fullmatch(key):
        yield f"{variable} has the key {values.shown(key)}, expected letters, digits and underscores. Correct it"
    else:
        yield from entry_value_problems(variable, given, key)


def entry_value_problems(variable: str, given: Mapping[Any, Any], key: str) -> Iterator[str]:
    try:
        value = given[key]
        text = str(value)
    except Exception:
        return  # an expression may refer to what only the role knows; a secret's is named with its other problems
    if value is None and variable.endswith("_secret_env"):
        return  # named with the secrets that nobody has set
    if not isinstance(value, str):
        found = f"of type {values.kind(value)}" if variable.endswith("_secret_env") else shown_value(value)
        yield f"{variable}.{key} is {found}, expected a text as the container is to have it: {values.QUOTES}"
    elif "\0" in text:
        yield f"{variable}.{key} has a NUL character in it, which no environment can hold, expected none. Remove it"
    elif any("\ud800" <= letter <= "\udfff" for letter in text):
        yield f"{variable}.{key} has half a character in it (a lone surrogate), expected text that is UTF-8. Correct it"


def shown_value(value: Any) -> str:
    return f"{value} (of type date)" if isinstance(value, date) else values.shown(value)


def decided_problems(variables: Variables, variable: str, given: Mapping[Any, Any], key: Any) -> Iterator[str]:
    """Refuse a value that a release would write over, unless it is the same."""
    if key not in OWN:
        return
    try:
        if OWN[key] and str(given[key]) == str(variables[OWN[key]]):
            return
    except Exception:  # noqa: S110  one of the two cannot be read, so they are not the same
        pass
    remedy = f"Set {OWN[key]}, and remove it here" if OWN[key] else "Remove it"
    yield f"{variable} has {key}, which a release sets itself, expected none of its own. {remedy}"


def untextual(value: Any, where: str = "") -> Iterator[str]:
    """Yield each place in a structure that cannot be passed on as it was written: a date, or a key that is no text."""
    if isinstance(value, date):
        yield f"{where or 'the value'} is {shown_value(value)}"
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if not isinstance(key, str):
                yield f"{where or 'it'} has the key {values.shown(key)}"
            yield from untextual(one, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value, 1):
            yield from untextual(one, f"entry {number} of {where}" if where else f"entry {number}")


def not_texts(value: Any, where: str) -> Iterator[str]:
    """Yield each value of a map or list that is no text, where only texts are passed on as they are written."""
    if isinstance(value, list | tuple):
        value_by_key: Any = dict(enumerate(value, 1))
    else:
        value_by_key = value if isinstance(value, Mapping) else {"": value}
    for key, one in value_by_key.items():
        if not isinstance(one, str):
            yield f"{f'{where}.{key}' if isinstance(value, Mapping) else where} has a value of type {values.kind(one)}"
