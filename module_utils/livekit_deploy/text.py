# SPDX-License-Identifier: Apache-2.0
"""Text that others wrote: logs, answers, records that a hand may have changed. Read with bounds, shown without secrets or escapes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

# What we read is flat; nesting is an accident or an attack. The parser of Python 3.10 fails at about 1,000, its encoder earlier.
DEPTH = 32
JSON_CHARACTERS = 8 * 1024 * 1024
NESTING = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')

# Terminal escapes whole, then what moves a cursor, hides or reverses text.
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")

MASK = "***"
TOKEN = re.compile(r"[A-Za-z0-9_-]+\.(?P<claims>[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?")
CREDENTIALS = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]{1,30}://)(?=[^\s/@'\":]*:)[^\s/@'\"]+@")
PARAMETERS = re.compile(r"(?i)(?P<name>\b(?:access_?token|token|api_?key|api_?secret|secret|password|passwd|signature)=)[^\s&'\"]+")
BEARER = re.compile(r"(?i)(?P<name>\bauthorization\b['\"]?\s*[:=]?\s*['\"]?(?:bearer|basic)\s+)[^\s'\";]+")
SECRET_NAME = re.compile(r"(?i)secret|passw|passphrase|token|key|credential|auth|dsn|private|salt|cookie|session|pwd|signature")
# What has to be read in a log, and is no secret.
PUBLIC = frozenset(
    {
        "AGENT_NAME",
        "LIVEKIT_AGENT_NAME",
        "LIVEKIT_AGENT_NAME_OVERRIDE",
        "LIVEKIT_URL",
        "LIVEKIT_DEPLOY_INSTANCE",
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TZ",
    }
)
SHORTEST_NAMED, SHORTEST_OTHER = 4, 8
ORDINARY = re.compile(r"(?i)[\d.,:+-]+|true|false|none|null|/[\w./-]*")


def parsed(text: str | bytes, limit: int = JSON_CHARACTERS) -> Any:
    """Return what a JSON text of others says; None for what is none, is too long, or is nested deeper than 32."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    if len(text) > limit or is_deep(text):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parsed_object(text: str | bytes, limit: int = JSON_CHARACTERS) -> dict[str, Any]:
    """Return a JSON object of others; empty for anything else."""
    found = parsed(text, limit)
    return found if isinstance(found, dict) else {}


def is_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= DEPTH:
        return False
    depth = 0
    for found in NESTING.finditer(text):
        depth += 1 if found[0] in "[{" else -1 if found[0] in "]}" else 0
        if depth > DEPTH:
            return True
    return False


def plain(text: str) -> str:
    """Return a text that a terminal only shows: without escapes, control characters and what turns the direction of writing."""
    return CONTROLS.sub("", ESCAPES.sub("", text))


def one_line(value: Any, limit: int = 300) -> str | None:
    """Return a name or an address that others chose as one line of plain text; None for what is no text."""
    return cut(" ".join(plain(value).split()), limit) if isinstance(value, str) else None


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def token_room(text: str) -> str | None:
    """Return the room that an access token of LiveKit is for, empty where it names none; None for what is no token."""
    found = TOKEN.fullmatch(text)
    if not found:
        return None
    try:
        claims = parsed(base64.urlsafe_b64decode(found["claims"] + "=" * (-len(found["claims"]) % 4)))
    except ValueError:
        return None
    if not isinstance(claims, dict):
        return None
    video = claims.get("video")
    room = video.get("room") if isinstance(video, dict) else ""
    return room if isinstance(room, str) else ""


def rooms_for_tokens(text: str) -> str:
    """Return a JSON text with the name of its room in the place of each access token: what a token opens does not leave the host."""
    return JWT.sub(lambda found: json.dumps(token_room(found[0]) or found[0])[1:-1], text)


class Masker:
    """Takes secrets out of foreign text: the values that a program was given, tokens, and credentials in addresses."""

    def __init__(self, secrets: Iterable[str] = (), mask: str = MASK) -> None:
        self.mask = mask
        forms = {form for secret in secrets for form in forms_of(secret)}
        # The longest first: one may hold another.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self.values = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    @classmethod
    def of(cls, *environments: Mapping[str, str]) -> Masker:
        """Return the masker for what programs with these environments may say."""
        return cls(value for environment in environments for value in secret_values(environment))

    def __call__(self, text: str) -> str:
        """Return the text fit to leave the host."""
        text = plain(text)
        if self.values:
            text = self.values.sub(self.mask, text)
        text = JWT.sub(self.mask, text)
        text = CREDENTIALS.sub(rf"\g<scheme>{self.mask}@", text)
        text = PARAMETERS.sub(rf"\g<name>{self.mask}", text)
        return BEARER.sub(rf"\g<name>{self.mask}", text)

    def all(self, value: Any) -> Any:
        """Return any answer with each text in it masked, keys of mappings as they are."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {key: self.all(one) for key, one in value.items()}
        return [self.all(one) for one in value] if isinstance(value, (list, tuple)) else value


def secret_values(environment: Mapping[str, str]) -> set[str]:
    """Return the values of a program's environment that no text of it may show.

    Where the name says so, from four characters on; any other from eight, unless it is a number, a path or a public name. Whether an
    ordinary variable is secret only its owner knows.
    """
    public = {value for name, value in environment.items() if name in PUBLIC}
    found = set()
    for name, value in environment.items():
        named = bool(SECRET_NAME.search(name))
        shortest = SHORTEST_NAMED if named else SHORTEST_OTHER
        if name in PUBLIC or value in public or len(value) < shortest or (not named and ORDINARY.fullmatch(value)):
            continue
        found.add(value)
    return found


def forms_of(secret: str) -> set[str]:
    """Return how a secret may stand in a text: as it is, line by line, in JSON, in an address."""
    whole = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1], quote(secret, safe="")}
    lines = {line.strip() for line in secret.splitlines()} if "\n" in secret else set()
    return {plain(form) for form in whole | {line for line in lines if len(line) >= SHORTEST_OTHER}} - {""}
