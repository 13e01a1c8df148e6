# SPDX-License-Identifier: Apache-2.0
"""Command lines of others, as far as they may be told: a password may be in any word that is not known."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from ..common import commands

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "fish", "ksh"})
# Programs that wait for the one they started and pass SIGTERM on to it, once (uv 0.13.9, tini and Docker's own init).
FORWARDING = frozenset({"uv", "tini", "docker-init"})
# What is told of a command line: the program, what it runs, and how livekit-agents is started. Any other word may be a
# secret.
SUBCOMMANDS = frozenset({"start", "dev", "console", "connect", "run", "exec", "up"})
RUNNERS = frozenset(
    {
        "node",
        "nodejs",
        "deno",
        "bun",
        "tsx",
        "ts-node",
        "npx",
        "uv",
        "uvx",
        "poetry",
        "pipenv",
        "pdm",
        "env",
        "nohup",
        *SHELLS,
        *FORWARDING,
    }
)
PYTHON = re.compile(r"(?:python|pypy)[0-9.]*")
PLAIN_WORD = re.compile(r"[\w./@+][\w./@+-]{0,199}", re.ASCII)
FLAGS = re.compile(r"-[bBdEiIOPqsSuvx]{1,4}|-m|--")
# What follows is a program's text, or the value of an option.
TEXT_FOLLOWS = re.compile(r"-[A-Za-z]*c|-e|-p|--eval|--print|--command")
VALUE_FOLLOWS = re.compile(r"--[^=]+|-[A-Za-ln-z]")


def shown_argv(argv: Sequence[str]) -> str:
    """The command line of a stranger as far as it may be told."""
    words, left = told_words(argv)
    return commands.shell(*words) + " …" * left


def told_words(argv: Sequence[str]) -> tuple[list[str], bool]:
    """Program, script or module, and known subcommands; whether anything else is left out.

    A password may be in an option, in an address, in a variable before the command, or in a title that the program gave
    itself.
    """
    words = first_word(argv)
    left, expects = words != list(argv[:1]), is_runner(words[0])
    for before, word in itertools.pairwise(argv):
        if expects and TEXT_FOLLOWS.fullmatch(word) and not FLAGS.fullmatch(word):
            return words, True
        if not is_told(before, word, expects):
            left = True
            continue
        words.append(word)
        expects = expects and (word.startswith("-") or word in SUBCOMMANDS or is_runner(word))
    return words, left


def first_word(argv: Sequence[str]) -> list[str]:
    """Return the program, if its name is a plain word."""
    words = argv[0].split()[:1] if argv else []
    return [word for word in words if PLAIN_WORD.fullmatch(word.lstrip("-"))] or ["unknown-program"]


def is_told(before: str, word: str, expects: bool) -> bool:
    if word.startswith("-"):
        return expects and bool(FLAGS.fullmatch(word))
    if VALUE_FOLLOWS.fullmatch(before) and not FLAGS.fullmatch(before):
        return False
    return word in SUBCOMMANDS or (expects and bool(PLAIN_WORD.fullmatch(word)))


def is_runner(word: str) -> bool:
    """Whether a program runs the one that is named after it."""
    name = Path(word.lstrip("-")).name
    return name in RUNNERS or bool(PYTHON.fullmatch(name))
