# SPDX-License-Identifier: Apache-2.0
"""TCP sockets of this host, from /proc/net: who has a port, where a process listens, whether an API has a connection.

It needs no program but Docker, where that is there: what containers publish has no socket of its own everywhere.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..common.files import read_text
from .command import Run

EVERY, LOOPBACK = "0.0.0.0", "127.0.0.1"  # noqa: S104  what /proc says, nothing listens
LISTENS, ESTABLISHED = "0A", "01"
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


# --- /proc/net/tcp ---------------------------------------------------------------------------------------------------


class Socket(NamedTuple):
    """A row of /proc/net/tcp or tcp6; addresses as the kernel writes them (``0100007F:1F91``), ``inode`` empty where
    the row is short.
    """

    local: str
    remote: str
    state: str
    inode: str


def table_sockets(table: str) -> Iterator[Socket]:
    for fields in (line.split() for line in table.splitlines()[1:]):
        if len(fields) > 3 and SOCKET.fullmatch(fields[1]):
            yield Socket(fields[1], fields[2], fields[3], fields[9] if len(fields) > 9 else "")


def tcp_sockets(proc: Path) -> list[Socket]:
    """Return the TCP sockets of a directory with a ``net``: /proc, or one process of it.

    A kernel without IPv6 has one table less.
    """
    return [found for name in ("tcp", "tcp6") for found in table_sockets(read_text(proc / "net" / name) or "")]


def listeners(sockets: Iterable[Socket]) -> Iterator[Listener]:
    """Yield the listening sockets that keep others from a port of an IPv4 address."""
    for found in sockets:
        number, _, port = found.local.partition(":")
        if found.state == LISTENS and found.inode and (address := socket_address(number)) is not None:
            yield Listener(address, int(port, 16), found.inode)


def socket_address(number: str) -> str | None:
    """Return an IPv4 address, or ``::``; None for any other of IPv6.

    The kernel writes each word in the order of the machine.
    """
    words = struct.pack(f"={len(number) // 8}I", *(int(number[i : i + 8], 16) for i in range(0, len(number), 8)))
    if len(words) == 4:
        return socket.inet_ntop(socket.AF_INET, words)
    text = socket.inet_ntop(socket.AF_INET6, words)
    # One of IPv6 only (`ipv6only`) is not told apart here, and is rare.
    return text if text == "::" else text.removeprefix("::ffff:") if text.startswith("::ffff:") else None


def own_addresses(proc: Path, inodes: Collection[str]) -> set[tuple[str, int]]:
    """Return where a process that has these sockets listens, as this host reaches it: what is of all addresses or of
    IPv6, on loopback.
    """
    own = [found for found in tcp_sockets(proc) if found.state == LISTENS and found.inode in inodes]
    return {reached_at(*found.local.split(":")) for found in own}


def reached_at(number: str, port: str) -> tuple[str, int]:
    address = socket_address(number) if len(number) == 8 else LOOPBACK
    return (LOOPBACK if address in (None, EVERY) else str(address)), int(port, 16)


def connected_to(port: int | None, table: Path = Path("/proc/net/tcp")) -> bool:
    """Return True if the proxy has a connection to an API's port of 127.0.0.1: a request that is not answered yet."""
    remotes = (found.remote for found in table_sockets(read_text(table) or "") if found.state == ESTABLISHED)
    return any(
        SOCKET.fullmatch(remote) and reached_at(*remote.split(":")) == (LOOPBACK, port or 0) for remote in remotes
    )


# --- who listens -----------------------------------------------------------------------------------------------------


def clashes(listener: Listener, address: str, port: int) -> bool:
    """Return True if a program that wants a port of an address cannot have it because of this one."""
    return listener.port == port and (EVERY in (address, listener.address) or listener.address in (address, "::"))


def owners(inodes: set[str], proc: Path) -> list[Owner]:
    """The processes that have one of these sockets open, the oldest first."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    numbers = sorted(int(path.name) for path in proc.iterdir() if path.name.isdigit())
    return [socket_owner(number, proc) for number in numbers if wanted & set(open_files(proc / str(number) / "fd"))]


def open_files(directory: Path) -> Iterator[str]:
    try:
        for path in directory.iterdir():
            yield str(path.readlink())
    except OSError:  # it ended meanwhile
        return


def socket_owner(number: int, proc: Path) -> Owner:
    program = (read_text(proc / str(number) / "comm") or "").strip() or "a program that has ended"
    own, first = (process_space(proc / one / "ns/pid") for one in (str(number), "1"))
    return Owner(number, program, contained=own != first and bool(own and first))


def process_space(path: Path) -> str:
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
    """Return who keeps others from a port: programs and containers by name, empty where it is free.

    A program of the host itself that is called ``besides`` does not count.
    """
    if containers := publishers(run, port):
        return f"the container{'s' if len(containers) > 1 else ''} {', '.join(containers)}"
    found = [one for one in listeners(tcp_sockets(proc)) if clashes(one, address, port)]
    holders = owners({listener.inode for listener in found}, proc) if found else []
    if found and not holders:
        return "a program that could not be told"
    return first_name([owner for owner in holders if owner.contained or owner.program != besides])


def first_name(owners: Sequence[Owner]) -> str:
    """Return the first program that is not Docker's own proxy, or that proxy; empty where there is none."""
    return next((str(owner) for owner in owners if owner.program != DOCKER_PROXY), str(owners[0]) if owners else "")
