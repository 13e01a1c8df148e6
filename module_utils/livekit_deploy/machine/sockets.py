# SPDX-License-Identifier: Apache-2.0
"""Who listens on a TCP port of this host, from /proc and from what containers publish; needs no program but Docker, where it is there."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..common.files import read_text
from .command import Run

EVERY, LOOPBACK = "0.0.0.0", "127.0.0.1"  # noqa: S104  what /proc says, nothing listens
LISTENS = "0A"
SOCKET = re.compile(r"(?:[0-9A-Fa-f]{8}|[0-9A-Fa-f]{32}):[0-9A-Fa-f]{1,4}")
DOCKER_PROXY = "docker-proxy"


@dataclass(frozen=True)
class Listener:
    """A listening socket; ``address`` is an IPv4 one, or ``::`` for all of both kinds."""

    address: str
    port: int
    inode: str


@dataclass(frozen=True)
class Owner:
    pid: int
    program: str
    contained: bool
    """It runs in a container."""

    def __str__(self) -> str:
        return f"{self.program} (process {self.pid}{', in a container' if self.contained else ''})"


def parsed(table: str) -> Iterator[Listener]:
    """The listening sockets of /proc/net/tcp or tcp6 that keep others from a port of an IPv4 address."""
    for fields in (line.split() for line in table.splitlines()[1:]):
        if len(fields) > 9 and fields[3] == LISTENS and SOCKET.fullmatch(fields[1]):
            number, _, port = fields[1].partition(":")
            if (address := address_of(number)) is not None:
                yield Listener(address, int(port, 16), fields[9])


def address_of(number: str) -> str | None:
    """/proc writes each word of an address in the order of the machine."""
    words = struct.pack(f"={len(number) // 8}I", *(int(number[i : i + 8], 16) for i in range(0, len(number), 8)))
    if len(words) == 4:
        return socket.inet_ntop(socket.AF_INET, words)
    text = socket.inet_ntop(socket.AF_INET6, words)
    # One of IPv6 only (`ipv6only`) is not told apart here, and is rare.
    return text if text == "::" else text.removeprefix("::ffff:") if text.startswith("::ffff:") else None


def clashes(listener: Listener, address: str, port: int) -> bool:
    """Whether a program that wants a port of an address cannot have it because of this one."""
    return listener.port == port and (EVERY in (address, listener.address) or listener.address in (address, "::"))


def clashing(address: str, port: int, proc: Path) -> list[Listener]:
    tables = (read_text(proc / "net" / name) or "" for name in ("tcp", "tcp6"))
    return [found for table in tables for found in parsed(table) if clashes(found, address, port)]


def owners(inodes: set[str], proc: Path) -> list[Owner]:
    """The processes that have one of these sockets open, the oldest first."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    numbers = sorted(int(path.name) for path in proc.iterdir() if path.name.isdigit())
    return [owner_of(number, proc) for number in numbers if wanted & set(targets(proc / str(number) / "fd"))]


def targets(directory: Path) -> Iterator[str]:
    try:
        for path in directory.iterdir():
            yield str(path.readlink())
    except OSError:  # it ended meanwhile
        return


def owner_of(number: int, proc: Path) -> Owner:
    program = (read_text(proc / str(number) / "comm") or "").strip() or "a program that has ended"
    own, first = (space_of(proc / one / "ns/pid") for one in (str(number), "1"))
    return Owner(number, program, contained=own != first and bool(own and first))


def space_of(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def publishers(run: Run, port: int) -> list[str]:
    """Running containers that publish the port, as far as Docker is there and says so."""
    status, out, _ = run(["docker", "ps", "--filter", f"publish={port}/tcp", "--format", "{{.Names}}\t{{.Ports}}"])
    # Of a range of ports, and of one that is only exposed, the filter knows more than it should.
    shown = (line.partition("\t") for line in out.splitlines() if status == 0)
    return [name for name, _, ports in shown if any(covers(text, port) for text in ports.split(", "))]


def covers(published: str, port: int) -> bool:
    """Whether `0.0.0.0:8000-8002->80/tcp` has a port of the host."""
    found = re.search(r":(\d+)(?:-(\d+))?->[\d-]+/tcp$", published)
    return found is not None and int(found[1]) <= port <= int(found[2] or found[1])


def taken_by(run: Run, port: int, address: str = EVERY, besides: str = "", proc: Path = Path("/proc")) -> str:
    """Who keeps others from a port: programs and containers by name, empty where it is free. A program of the host itself that is
    called ``besides`` does not count."""
    found = clashing(address, port, proc)
    holders = owners({listener.inode for listener in found}, proc) if found else []
    containers = publishers(run, port)
    strangers = [owner for owner in holders if owner.contained or owner.program != besides]
    if containers:
        return f"the container{'s' if len(containers) > 1 else ''} {', '.join(containers)}"
    if strangers:
        return str(next((owner for owner in strangers if owner.program != DOCKER_PROXY), strangers[0]))
    return "a program that could not be told" if found and not holders else ""
