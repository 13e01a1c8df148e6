# SPDX-License-Identifier: Apache-2.0
"""Run the programs of a host: one place, with a clean environment, a deadline and a bound on what is kept of their
output.

A host's own environment decides nothing: ``COMPOSE_PROJECT_NAME`` or ``COMPOSE_FILE`` of a login shell would send
Compose to another project, ``DOCKER_HOST`` to another Engine, ``http_proxy`` to another server, a locale to other
words.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

MIB = 1024 * 1024
# The longest that one program may take, where a step says nothing else.
SECONDS = 60.0
# `docker inspect` of a hundred containers says about 1 MiB.
OUTPUT_BYTES = 32 * MIB
# The longest log that is read whole; of a longer one the newest part.
LOG_BYTES = 256 * MIB
# A line is longer only where nobody meant it to be read.
LINE_BYTES = 64 * 1024
BLOCK = 64 * 1024
SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/snap/bin")
NOT_THERE, TOO_LATE = 127, 124


# Runs an argument list and answers exit status, standard output and standard error.
Run = Callable[[Sequence[str]], "tuple[int, str, str]"]


class Output(Protocol):
    """What a program says, line by line; afterwards its status, and why it was not read to its end. See ``Lines``."""

    status: int | None
    cut: str
    last: str

    def __iter__(self) -> Iterator[str]: ...


class Reader(Protocol):
    """A ``Run`` that also reads long outputs, such as logs: ``Runner``, or a stand-in of a test."""

    def __call__(self, argv: Sequence[str], /) -> tuple[int, str, str]: ...

    def lines(self, argv: Sequence[str], /, seconds: float | None = None, max_bytes: int = ...) -> Output: ...


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of every program that is run: where programs are, whose files count, and plain English in
    UTF-8.
    """
    given = os.environ if base is None else base
    own = [part for part in given.get("PATH", "").split(os.pathsep) if Path(part).is_absolute()]
    return {
        # The distribution's programs come first: a directory of a user's may hold anything.
        "PATH": os.pathsep.join(dict.fromkeys([*SYSTEM_PATH, *own])),
        "HOME": home_of(given),
        # A context that somebody chose in that home would lead to another Engine.
        "DOCKER_CONTEXT": "default",
        "LC_ALL": "C.UTF-8",
    }


def home_of(given: Mapping[str, str]) -> str:
    """Return the home whose files count: root's own, whoever logged in, because Docker runs plugins that it finds
    there.
    """
    if os.geteuid() != 0:
        return given["HOME"] if Path(given.get("HOME", "")).is_absolute() else "/"
    try:
        home = pwd.getpwuid(0).pw_dir
    except KeyError:
        home = ""
    return home if Path(home).is_absolute() else "/root"


class Runner:
    """``seconds`` bound each program, ``total_seconds`` all that this runner starts together.

    A program that is not there has status 127, one that was ended at its deadline 124. It is ended with all that it
    started.
    """

    def __init__(self, seconds: float = SECONDS, total_seconds: float | None = None) -> None:
        self.seconds = seconds
        self.until = None if total_seconds is None else time.monotonic() + total_seconds

    def deadline(self) -> float:
        """When the program that is started now has to have ended, on the monotonic clock."""
        own = time.monotonic() + self.seconds
        return own if self.until is None else min(own, self.until)

    def __call__(self, argv: Sequence[str], /) -> tuple[int, str, str]:
        deadline = self.deadline()
        allowed = deadline - time.monotonic()
        try:
            process = start(argv, stderr=subprocess.PIPE)
        except OSError as error:
            return NOT_THERE, "", f"{argv[0]}: {error.strerror}"
        kept: dict[str, bytearray] = {"out": bytearray(), "err": bytearray()}
        trouble = ""
        try:
            for name, block in blocks(process, deadline):
                kept[name] += block
                if len(kept[name]) > OUTPUT_BYTES:
                    trouble = f"said more than {OUTPUT_BYTES // MIB} MiB"
                    break
        except TimeoutError:
            trouble = f"did not end in time ({max(0.0, allowed):.3g} s)"
        finally:
            end(process)
        out, err = (bytes(text).decode(errors="replace") for text in kept.values())
        if trouble:
            return TOO_LATE, out, f"`{' '.join(argv[:3])}` {trouble}. {err[-500:]}".strip()
        return process.returncode, out, err

    def lines(self, argv: Sequence[str], /, seconds: float | None = None, max_bytes: int = LOG_BYTES) -> Lines:
        """Standard output and error together, in the order in which they were written, line by line, in constant
        memory.
        """
        until = self.deadline()
        return Lines(argv, until if seconds is None else min(until, time.monotonic() + seconds), max_bytes)

    def within(self, seconds: float) -> Runner:
        """Return a runner with a shorter time for each program; the total stays the same."""
        shorter = Runner(min(seconds, self.seconds))
        shorter.until = self.until
        return shorter


def within(run: Run, seconds: float) -> Run:
    """Return ``run`` with a shorter time for each program, where it has one."""
    return run.within(seconds) if isinstance(run, Runner) else run


class Lines:
    """The lines of a program's output; afterwards ``status`` is its exit status, ``cut`` why it was not read to its
    end, else empty.

    A line of more than 64 KiB is cut there.
    """

    def __init__(self, argv: Sequence[str], deadline: float, max_bytes: int = LOG_BYTES) -> None:
        self.argv, self.deadline, self.max_bytes = list(argv), deadline, max_bytes
        self.status: int | None = None
        self.cut = ""
        self.last = ""

    def __iter__(self) -> Iterator[str]:
        try:
            process = start(self.argv, stderr=subprocess.STDOUT)
        except OSError as error:
            self.status, self.last = NOT_THERE, f"{self.argv[0]}: {error.strerror}"
            return
        try:
            for line in split(self.bounded(process)):
                self.last = line
                yield line
        except TimeoutError:
            self.cut = "its deadline passed"
        finally:
            end(process)
            self.status = TOO_LATE if self.cut else process.returncode

    def bounded(self, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        count = 0
        for _name, block in blocks(process, self.deadline):
            count += len(block)
            yield block
            if count > self.max_bytes:
                self.cut = f"it is longer than {self.max_bytes // MIB} MiB"
                return


# What every program is given beside its own: a lock that holds as long as one of them works, also when this process is
# killed.
HELD: set[int] = set()


@contextlib.contextmanager
def inherited(descriptor: int) -> Iterator[None]:
    """Let all that is started meanwhile have a descriptor."""
    HELD.add(descriptor)
    try:
        yield
    finally:
        HELD.discard(descriptor)


def start(argv: Sequence[str], stderr: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  no shell
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment(),
        cwd="/",
        start_new_session=True,
        pass_fds=tuple(HELD),
    )


def blocks(process: subprocess.Popen[bytes], deadline: float) -> Iterator[tuple[str, bytes]]:
    """Yield what a program says, as it comes; TimeoutError where it, or a child that keeps its output open, does not
    end in time.
    """
    with selectors.DefaultSelector() as selector:
        for name, pipe in (("out", process.stdout), ("err", process.stderr)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, name)
        while selector.get_map():
            for key, _events in selector.select(left(deadline)):
                block = os.read(key.fd, BLOCK)
                if not block:
                    selector.unregister(key.fileobj)
                else:
                    yield key.data, block
            left(deadline)
    try:
        process.wait(left(deadline))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None


def left(deadline: float) -> float:
    """Return the seconds until a deadline; TimeoutError when it has passed."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def split(data: Iterator[bytes]) -> Iterator[str]:
    """Yield lines of blocks of bytes, with a bound on each line."""
    rest = b""
    skipping = False
    for block in data:
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            if not skipping:
                yield decoded(line)
            skipping = False
        if len(rest) > LINE_BYTES:
            if not skipping:
                yield decoded(rest)
            rest, skipping = b"", True
    if rest and not skipping:
        yield decoded(rest)


def decoded(line: bytes) -> str:
    return line[:LINE_BYTES].decode(errors="replace").rstrip("\r")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program with all that it started, and close its pipes."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    pipes: list[IO[bytes] | None] = [process.stdout, process.stderr]
    for pipe in pipes:
        if pipe is not None:
            pipe.close()
