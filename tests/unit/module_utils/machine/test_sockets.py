# SPDX-License-Identifier: Apache-2.0
"""Who listens on a port, from a /proc of our own making and from the real one."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible.module_utils.livekit_deploy.machine.sockets import (
    EVERY,
    LOOPBACK,
    Listener,
    clashes,
    connected_to,
    covers,
    listeners,
    table_sockets,
    taken_by,
)

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
# 127.0.0.1:18102, 10.0.0.5:80 and one that is connected; as a machine with the low byte first writes them.
TCP = (
    "   0: 0100007F:46B6 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 101 1 0 100 0 0 10 0\n"
    "   1: 0500000A:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 102 1 0 100 0 0 10 0\n"
    "   2: 0100007F:46B6 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 103 1 0 100 0 0 10 0\n"
)
TCP6 = (
    "   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 104 1 0\n"
    "   1: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 105 1 0\n"
    "   2: 0000000000000000FFFF00000100007F:0052 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 106 1 0\n"
)


def nobody(_argv: Sequence[str]) -> tuple[int, str, str]:
    return 127, "", "docker: No such file or directory"


class Proc:
    """A /proc with the tables above; each process has a socket open."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "net").mkdir()
        (root / "net/tcp").write_text(HEADER + TCP)
        (root / "net/tcp6").write_text(HEADER + TCP6)
        self.process(1, "systemd", 1)

    def process(self, number: int, program: str, inode: int, space: str = "pid:[1]") -> None:
        own = self.root / str(number)
        for directory in ("fd", "ns"):
            (own / directory).mkdir(parents=True)
        (own / "comm").write_text(f"{program}\n")
        (own / "fd/3").symlink_to(f"socket:[{inode}]")
        (own / "ns/pid").symlink_to(space)

    def taken(self, port: int, address: str = EVERY, besides: str = "", docker: str = "") -> str:
        return taken_by(lambda _argv: (0, docker, ""), port, address, besides, self.root)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_listening_sockets_are_read_from_both_tables() -> None:
    assert list(listeners(table_sockets(HEADER + TCP))) == [
        Listener("127.0.0.1", 18102, "101"),
        Listener("10.0.0.5", 80, "102"),
    ]
    assert list(listeners(table_sockets(HEADER + TCP6))) == [
        Listener("::", 443, "104"),
        Listener("127.0.0.1", 82, "106"),
    ]


@pytest.mark.parametrize(
    ("listens", "wanted", "expected"),
    [
        ("127.0.0.1", EVERY, True),
        ("127.0.0.1", LOOPBACK, True),
        (EVERY, LOOPBACK, True),
        ("::", LOOPBACK, True),
        ("10.0.0.5", LOOPBACK, False),
        ("10.0.0.5", EVERY, True),
    ],
)
def test_which_addresses_are_in_each_others_way(listens: str, wanted: str, expected: bool) -> None:
    assert clashes(Listener(listens, 80, "1"), wanted, 80) is expected
    assert not clashes(Listener(listens, 81, "1"), wanted, 80)


def test_a_program_is_named(proc: Proc) -> None:
    proc.process(812, "apache2", 102)
    assert proc.taken(80) == "apache2 (process 812)"


def test_a_free_port_is_nobodys(proc: Proc) -> None:
    assert proc.taken(8080) == ""


def test_the_program_that_may_have_the_port_does_not_count(proc: Proc) -> None:
    proc.process(812, "nginx", 102)
    assert proc.taken(80, besides="nginx") == ""


def test_the_same_program_in_a_container_does(proc: Proc) -> None:
    proc.process(812, "nginx", 102, space="pid:[2]")
    assert proc.taken(80, besides="nginx") == "nginx (process 812, in a container)"


def test_a_program_beside_the_one_that_may_have_the_port_does(proc: Proc) -> None:
    proc.process(812, "nginx", 102)
    proc.process(900, "haproxy", 102)
    assert proc.taken(80, besides="nginx") == "haproxy (process 900)"


def test_a_program_that_cannot_be_told_still_has_the_port(proc: Proc) -> None:
    assert proc.taken(80) == "a program that could not be told"


def test_a_container_is_named_instead_of_dockers_own_proxy(proc: Proc) -> None:
    proc.process(812, "docker-proxy", 102)
    assert proc.taken(80, docker="web\t0.0.0.0:80->80/tcp, :::80->80/tcp\n") == "the container web"


def test_a_container_has_its_port_also_where_nothing_listens_for_it(proc: Proc) -> None:
    assert proc.taken(8080, docker="web\t0.0.0.0:8080->80/tcp\n") == "the container web"


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ("0.0.0.0:8080->80/tcp", True),
        ("[::]:8080->80/tcp", True),
        ("127.0.0.1:8000-8090->8000-8090/tcp", True),
        ("0.0.0.0:8081->8080/tcp", False),
        ("8080/tcp", False),
        ("0.0.0.0:8080->80/udp", False),
        ("", False),
    ],
)
def test_which_ports_a_container_publishes(published: str, expected: bool) -> None:
    assert covers(published, 8080) is expected


def test_this_process_is_found_in_the_real_proc() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert taken_by(nobody, port, LOOPBACK).endswith(f"(process {os.getpid()})")
    assert taken_by(nobody, port, LOOPBACK) == ""


@pytest.mark.parametrize(
    ("line", "connected"),
    [
        ("   1: 0100007F:C350 0100007F:46B5 01 00000000:00000000", True),
        ("   1: 0100007F:C350 0100007F:46B5 06 00000000:00000000", False),
        ("   1: 0100007F:46B5 0100007F:C350 01 00000000:00000000", False),
        ("   1: 0100007F:C350 0100007F:46B6 01 00000000:00000000", False),
    ],
)
def test_request_that_is_not_answered_is_a_connection_to_the_port(tmp_path: Path, line: str, connected: bool) -> None:
    (tmp_path / "tcp").write_text(f"  sl  local_address rem_address   st\n{line}\n")
    assert connected_to(18101, tmp_path / "tcp") is connected
