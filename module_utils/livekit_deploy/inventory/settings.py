# SPDX-License-Identifier: Apache-2.0
"""An inventory entry as read: its settings as text, and which of them cannot be read. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..common.values import shown, switch
from .addresses import normalised_url
from .variables import Variables

IMAGES = ("livekit_agent_image", "agent_api_image")
REQUIRED = (
    "agent_release_app",
    "livekit_url",
    "livekit_api_key",
    "livekit_api_secret",
    "livekit_agent_name",
    "livekit_agent_image",
    "agent_api_image",
)
OPTIONAL = ("livekit_api_url", "livekit_agent_shared_name", "livekit_agent_pool", "ansible_host")
FLAGS = ("livekit_url_allow_insecure", "agent_release_allow_tags")
STRUCTURED = ("agent_release_registries", "agent_release_image_archives")
# Read for what they tell of another variable; what is wrong with them is said elsewhere.
BESIDE = ("livekit_agent_compose", "agent_api_compose")
URLS = ("livekit_url", "livekit_api_url")
CREDENTIALS = ("livekit_api_key", "livekit_api_secret")
MAY_BE_SECRET = {*CREDENTIALS, "agent_release_registries"}
PLACEHOLDER = re.compile(
    r"change[ _-]?me|replace[ _-]?me|placeholder|<[^<>]*>|^(todo|secret|x{3,}|\.{3,})$",
    re.IGNORECASE,
)
# The only text of a templating error that cannot quote a value.
HARMLESS_ERROR = re.compile(
    r"'[\w.\[\]]+' is undefined|no vault secrets? (were )?found|Decryption failed",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Settings:
    """An inventory entry as read, its settings as text. ``unreadable`` names those that could not be templated."""

    name: str
    values: Mapping[str, str] = field(repr=False)
    flags: Mapping[str, bool] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()
    structured: Variables = field(default_factory=dict, repr=False)

    def get(self, variable: str) -> str:
        return self.values.get(variable, "")

    @property
    def pool(self) -> str:
        return self.get("livekit_agent_pool") or self.name

    @property
    def agent_name(self) -> str:
        return self.get("livekit_agent_name")

    @property
    def shared_name(self) -> str:
        return self.get("livekit_agent_shared_name")

    @property
    def server(self) -> str:
        return normalised_url(self.get("livekit_url"))

    @property
    def allows_tags(self) -> bool:
        return self.flags.get("agent_release_allow_tags", False)

    @property
    def archives(self) -> Mapping[str, Any]:
        found = self.structured.get("agent_release_image_archives")
        return found if isinstance(found, Mapping) else {}

    @property
    def allows_insecure(self) -> bool:
        return self.flags.get("livekit_url_allow_insecure", False)


def read_settings(name: str, variables: Variables) -> tuple[Settings, list[str]]:
    """Return a host's settings and what could not be read: a templating error becomes a sentence, not an exception."""
    values: dict[str, str] = {}
    flags: dict[str, bool] = {}
    problems: dict[str, str] = {}
    structured: dict[str, Any] = {}
    for variable in REQUIRED + OPTIONAL + FLAGS + STRUCTURED:
        try:
            value = _plain(variables[variable])
            if variable in STRUCTURED:
                structured[variable] = _deep(value)
                continue
        except KeyError:
            continue
        except Exception as error:  # templating errors have no common public type
            problems[variable] = _unreadable(name, variable, error)
            continue
        kind_problem = _store(variable, value, values, flags)
        if kind_problem:
            problems[variable] = f"{name}: {variable} {kind_problem}"
    for variable in BESIDE:
        with suppress(Exception):
            structured[variable] = _deep(_plain(variables[variable]))
    values.setdefault("ansible_host", name)
    settings = Settings(name, values, flags, unreadable=frozenset(problems), structured=structured)
    return settings, list(problems.values())


def _plain(value: Any) -> Any:
    """Return the value as a plain type. Text is forced: an undefined variable raises only when it is used."""
    return value if value is None or isinstance(value, bool | int | float | list | Mapping) else str(value)


def _deep(value: Any) -> Any:
    """Return the same with everything in it plain, so that what is undefined in it raises here."""
    if isinstance(value, Mapping):
        return {str(key): _deep(_plain(one)) for key, one in value.items()}
    return [_deep(_plain(one)) for one in value] if isinstance(value, list) else value


def _store(variable: str, value: Any, values: dict[str, str], flags: dict[str, bool]) -> str:
    """Keep the value by its kind, or return what is wrong with the kind."""
    if variable in FLAGS:
        flag = switch(value)
        if flag is None:
            return f"is {shown(value)}, expected true or false. Correct it in the inventory."
        flags[variable] = flag
    elif value is None:
        values[variable] = ""
    elif not isinstance(value, str):
        return f"is of type {type(value).__name__}, expected text. Put it in quotes in the inventory."
    else:
        values[variable] = value
    return ""


def why_unreadable(error: BaseException, secret: bool) -> str:
    """Return the innermost words of a templating error; of a secret's only if they cannot quote its value."""
    while error.__cause__ is not None:
        error = error.__cause__
    detail = next(iter(str(error).splitlines()), "") or type(error).__name__
    return type(error).__name__ if secret and not HARMLESS_ERROR.search(detail) else detail


def _unreadable(host: str, variable: str, error: BaseException) -> str:
    detail = why_unreadable(error, variable in MAY_BE_SECRET)
    remedy = "Define what it refers to, or correct the expression."
    return f"{host}: {variable} cannot be read ({detail}), expected a value. {remedy}"
