# SPDX-License-Identifier: Apache-2.0
"""What a release is made of: its files, the content behind them, and what differs from them on a host."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..worker.readings import INSTANCE_VARIABLE, NAME_VARIABLES
from . import records
from .records import Record

# What a content has in the place of the id, the compose project and the API's port, which differ between two releases
# of one content.
MARKS = {"id": "@release_id@", "project": "@project@", "api_port": "@api_port@"}


def env_line(name: str, value: str) -> str:
    """One line of a compose env file that reaches the container byte for byte.

    Between single quotes compose takes everything as it is; a value with a quote in it needs double quotes, where
    backslash, quote and dollar are escaped (Compose 2.26, measured).
    """
    if "'" not in value and "\r" not in value and not value.endswith("\\"):
        return f"{name}='{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    escaped = escaped.replace("\n", "\\n").replace("\r", "\\r")
    return f'{name}="{escaped}"'


def env_file(values: dict[str, str]) -> str:
    return "".join(env_line(name, values[name]) + "\n" for name in sorted(values))


ENV_LINE = re.compile(r"""(?m)^(?P<name>[^=\n]+)=(?:'(?P<plain>[^']*)'|"(?P<escaped>(?:[^"\\]|\\.)*)")\n""")
ESCAPES = {"\\n": "\n", "\\r": "\r", "$$": "$"}


def env_values(text: str) -> dict[str, str]:
    """What ``env_file`` was made from."""
    values = {}
    for found in ENV_LINE.finditer(text):
        values[found["name"]] = found["plain"] if found["escaped"] is None else unescaped(found["escaped"])
    return values


def unescaped(text: str) -> str:
    return re.sub(r"\\.|\$\$", lambda m: ESCAPES.get(m[0], m[0][1:]), text)


@dataclass(frozen=True)
class Content:
    """What a release is made of: the text of ``compose.yml`` with marks, and the environment of each service, secrets
    included."""

    compose: str
    env: Mapping[str, Mapping[str, str]] = field(repr=False)

    @property
    def hash(self) -> str:
        env = {name: dict(values) for name, values in self.env.items()}
        return records.sha256(json.dumps([self.compose, env], sort_keys=True))

    @property
    def agent_name(self) -> str:
        return self.env["agent-worker"].get("LIVEKIT_AGENT_NAME", "")

    def named(self, agent_name: str) -> Content:
        """The same under another agent name, in both services."""
        names = dict.fromkeys(NAME_VARIABLES, agent_name)
        return Content(self.compose, {service: {**values, **names} for service, values in self.env.items()})

    def files(self, where: Mapping[str, Any], instance: str) -> dict[str, str]:
        """The files of a release: ``where`` has its ``id``, ``project`` and ``api_port``."""
        files = {"compose.yml": marked(self.compose, {mark: str(where[key]) for key, mark in MARKS.items()})}
        for service, values in self.env.items():
            files[f"{service}.env"] = env_file({**values, INSTANCE_VARIABLE: instance})
        return files


def marked(text: str, replacements: Mapping[str, str]) -> str:
    for old, new in replacements.items():
        text = text.replace(old, new)
    return text


def given_content(
    compose: str,
    env: Mapping[str, Mapping[str, Any]],
    secret_env: Mapping[str, Mapping[str, Any]],
    services: Sequence[str] = records.SERVICES,
) -> Content:
    """A content as a role gives it, of the services that it has."""
    merged = {name: {**env.get(name, {}), **secret_env.get(name, {})} for name in services}
    texts = {name: {key: str(value) for key, value in values.items()} for name, values in merged.items()}
    return Content(compose, texts)


def kept_content(record: Record, texts: Mapping[str, str]) -> Content:
    """The content that a release's files were made from: how a release is made of an earlier one."""
    own = {records.compose_project(record["app"], record["id"]): MARKS["project"], str(record["id"]): MARKS["id"]}
    own[f"127.0.0.1:{record['api_port']}:"] = f"127.0.0.1:{MARKS['api_port']}:"
    compose = marked(texts["compose.yml"], own)
    env = {service: env_values(texts[f"{service}.env"]) for service in records.record_services(record)}
    return Content(
        compose,
        {service: {k: v for k, v in values.items() if k != INSTANCE_VARIABLE} for service, values in env.items()},
    )


def file_drift(record: Record, texts: dict[str, str | None]) -> list[str]:
    """What differs between the recorded files and those on disk; ``texts`` maps a file name to its text, None where it
    is gone."""
    drift = []
    for name, recorded in sorted(record.get("files", {}).items()):
        text = texts.get(name)
        if text is None:
            drift.append(f"{name} is missing")
        elif records.sha256(text) != recorded:
            drift.append(f"{name} was edited by hand")
    return drift


def container_drift(record: Record, running: Mapping[str, Any]) -> list[str]:
    """What differs between the recorded containers and those that run; ``running`` maps a service to image and config
    hash."""
    drift = []
    for service in records.record_services(record):
        found = running.get(service)
        if not found or not found["running"]:
            drift.append(f"{service} is not running")
            continue
        recorded = (record.get("config_hashes") or {}).get(service)
        if recorded and found["config_hash"] != recorded:
            drift.append(f"the {service} container was made from another configuration")
    return drift
