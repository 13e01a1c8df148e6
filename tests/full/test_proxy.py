"""A serving host's proxy: HTTPS, a site of somebody else beside ours, a proxy of one's own, and what is in its way."""

from __future__ import annotations

import json
import shlex
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any

import pytest

from tests.e2e.certificates import Authority, Pair
from tests.e2e.harness import API_PORTS, APP, NGINX, Lab, Machine, Run
from tests.e2e.test_trouble import assert_told

DIRECTORY = "/etc/ssl/lkad-tests"
SITE = f"/etc/nginx/conf.d/livekit-agent-deploy-{APP}.conf"
UPSTREAM = f"/etc/nginx/livekit-agent-deploy/{APP}.upstream.conf"
THEIRS, THEIR_PORT = "/etc/nginx/conf.d/somebody-else.conf", 8082
THEIR_SITE = f'server {{ listen {THEIR_PORT};\n  location / {{ return 200 "theirs"; }} }}\n'
OWN, OWN_PORT = "/etc/nginx/conf.d/of-their-own.conf", 8083
OWN_SITE = f"include {UPSTREAM};\nserver {{ listen {OWN_PORT}; location / {{ proxy_pass http://{APP}; }} }}\n"
TAKEN_PORT = 8090
# Ports as arguments; prints those to which it can connect.
KNOCK = (
    "import socket, sys\n"
    "def is_open(port):\n"
    "    with socket.socket() as s:\n"
    "        s.settimeout(2)\n"
    "        return s.connect_ex((sys.argv[1], port)) == 0\n"
    "print(*[port for port in map(int, sys.argv[2:]) if is_open(port)])"
)


@dataclass(frozen=True)
class Proxy:
    """The first host's, with certificates on it: `site` is good, `old` has ended, `none` is not there."""

    lab: Lab
    machine: Machine
    trusted: ssl.SSLContext

    def provision(self, certificate: str = "", **extra_vars: Any) -> Run:
        pair = {
            "api_proxy_certificate": f"{DIRECTORY}/{certificate}.pem",
            "api_proxy_certificate_key": f"{DIRECTORY}/{certificate}.key",
        }
        return self.lab.play(
            "playbooks/provision.yml",
            limit=self.machine.name,
            extra_vars={**(pair if certificate else {}), **extra_vars},
        )

    def deploy(self, **change: Any) -> Run:
        return self.lab.play("deploy.yml", limit=self.machine.name, extra_vars=change)

    def get(self, port: int = NGINX, path: str = "/healthz") -> tuple[int, str, str]:
        """Status, location and body. nginx answers a reload before its new processes have begun."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return self.ask(port, path)
            except (OSError, HTTPException):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def ask(self, port: int, path: str) -> tuple[int, str, str]:
        address = self.machine.address
        secure = HTTPSConnection(address, port, timeout=5, context=self.trusted) if port == 443 else None
        with closing(secure or HTTPConnection(address, port, timeout=5)) as line:
            line.request("GET", path)
            answer = line.getresponse()
            return answer.status, answer.getheader("Location", ""), answer.read().decode()

    def seen(self) -> dict[str, Any]:
        """What no work at the proxy may change: nginx's process, the site of somebody else, and what serves."""
        return {
            "nginx": self.machine.sh("systemctl show --property MainPID,ActiveEnterTimestamp nginx"),
            "theirs": (self.machine.sh(f"cat {THEIRS}"), self.get(THEIR_PORT)),
            "state": self.machine.state(),
        }

    def site(self) -> str:
        return self.machine.sh(f"cat {SITE} || true")

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        self.machine.sh(f"install -m {mode} /dev/null {path}; printf %s {shlex.quote(text)} >{path}")

    @contextmanager
    def listener(self, port: int, address: str = "0.0.0.0") -> Iterator[None]:  # noqa: S104  on a host of the lab
        """Somebody else's program that has a port."""
        command = f"python3 -m http.server --bind {address} --directory /run/lock {port}"
        self.machine.sh(f"systemd-run --quiet --collect --unit lkad-listener {command}")
        try:
            self.machine.sh(
                f"for i in $(seq 50); do ss -ltnH sport = {port} | grep -q . && exit; sleep 0.1; done; exit 1"
            )
            yield
        finally:
            self.machine.sh("systemctl stop lkad-listener")


@pytest.fixture(scope="module")
def proxy(deployed: Lab, first: Machine) -> Iterator[Proxy]:
    authority = Authority()
    made = Proxy(deployed, first, ssl.create_default_context(cadata=authority.certificate))
    pairs: dict[str, Pair] = {"site": authority.pair(first.address), "old": authority.pair(first.address, days=-1)}
    try:
        first.sh(f"mkdir -p {DIRECTORY}")
        for name, pair in pairs.items():
            made.write(f"{DIRECTORY}/{name}.pem", pair.certificate)
            made.write(f"{DIRECTORY}/{name}.key", pair.key, "0600")
        made.write(THEIRS, THEIR_SITE)
        first.sh("nginx -t -q && systemctl reload nginx")
        made.get(THEIR_PORT)
        yield made
    finally:
        first.sh(f"rm -rf {DIRECTORY} {THEIRS} {OWN}")
        run = made.provision()
        assert run.rc == 0, run.stdout


@pytest.fixture(scope="module")
def before(proxy: Proxy) -> dict[str, Any]:
    return proxy.seen()


@pytest.fixture(scope="module")
def secure(proxy: Proxy, before: dict[str, Any]) -> Run:
    assert before
    run = proxy.provision("site")
    assert run.rc == 0, run.stdout
    return run


# --- a certificate ---------------------------------------------------------------------------------------------------


def test_the_api_is_served_over_https(secure: Run, proxy: Proxy) -> None:
    assert secure.changed
    assert proxy.get(443)[0] == 200


def test_http_answers_with_the_way_to_https(secure: Run, proxy: Proxy) -> None:
    assert secure.changed
    assert proxy.get(NGINX, "/v1/agent?x=1")[:2] == (308, f"https://{proxy.machine.address}/v1/agent?x=1")


def test_others_and_what_serves_are_as_before_and_nginx_was_not_restarted(
    secure: Run, proxy: Proxy, before: dict[str, Any]
) -> None:
    assert secure.changed
    assert proxy.seen() == before


def test_the_same_certificate_again_changes_nothing(secure: Run, proxy: Proxy) -> None:
    assert secure.changed
    assert proxy.provision("site").changed == {}


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ("old", [f"the certificate {DIRECTORY}/old.pem ended on", "expected one that is valid now", "Renew it"]),
        ("none", [f"no file {DIRECTORY}/none.pem", "api_proxy_certificate"]),
    ],
)
def test_a_certificate_that_cannot_be_served_is_refused(
    secure: Run, proxy: Proxy, certificate: str, words: list[str]
) -> None:
    site = proxy.site()
    run = proxy.provision(certificate)
    assert_told(run, proxy.machine.name, *words)
    assert (secure.rc, run.changed, proxy.site(), proxy.get(443)[0]) == (0, {}, site, 200)


def test_a_release_is_not_begun_while_nginx_misses_its_certificate(secure: Run, proxy: Proxy) -> None:
    state = proxy.machine.state()
    proxy.machine.sh(f"mv {DIRECTORY}/site.pem {DIRECTORY}/away.pem")
    try:
        run = proxy.deploy(agent_api_memory="513m")
    finally:
        proxy.machine.sh(f"mv {DIRECTORY}/away.pem {DIRECTORY}/site.pem")
    assert_told(run, proxy.machine.name, f"{DIRECTORY}/site.pem", "Expected", "Put the certificate and its key")
    assert (secure.rc, proxy.machine.state(), proxy.get(443)[0]) == (0, state, 200)


# --- somebody else in the way ----------------------------------------------------------------------------------------


def test_a_port_that_somebody_else_has_is_refused_and_named(proxy: Proxy, before: dict[str, Any]) -> None:
    site = proxy.site()
    with proxy.listener(TAKEN_PORT):
        run = proxy.provision(api_proxy_listen_port=TAKEN_PORT)
    assert_told(
        run, proxy.machine.name, "found: python3 (process", f"listens on port {TAKEN_PORT}", "api_proxy_listen_port"
    )
    assert (run.changed, proxy.site(), proxy.seen()) == ({}, site, before)


def test_a_port_of_the_api_that_somebody_else_has_is_refused_before_a_release_begins(proxy: Proxy) -> None:
    state = proxy.machine.state()
    serving = proxy.machine.record(state["serving"])["api_port"]
    (free,) = (port for port in API_PORTS if port != serving)
    with proxy.listener(free, "127.0.0.1"):
        run = proxy.deploy(agent_api_memory="514m")
    assert_told(run, proxy.machine.name, "found: python3 (process", f"has port {free}", "agent_api_ports")
    assert (run.changed, proxy.machine.state()) == ({}, state)


def test_a_site_that_somebody_else_broke_is_said_to_be_theirs(proxy: Proxy) -> None:
    site = proxy.site()
    proxy.write(THEIRS, "server { their_typo on; }\n")
    try:
        run = proxy.provision(api_proxy_max_body_size="2m")
    finally:
        proxy.write(THEIRS, THEIR_SITE)
    assert_told(
        run, proxy.machine.name, "nginx refuses the configuration that is on this host already", "their_typo", THEIRS
    )
    assert (proxy.site(), proxy.get(THEIR_PORT)[2]) == (site, "theirs")


# --- what is reachable -----------------------------------------------------------------------------------------------


def test_another_host_reaches_sshd_and_nginx_and_nothing_else_that_listens(proxy: Proxy) -> None:
    lines = proxy.machine.sh("ss -ltnpH").splitlines()
    # Some have no process: the lab's own Docker listens for names inside its containers.
    programs = {
        int(fields[3].rpartition(":")[2]): [*fields[-1].split('"'), "not told"][1] for fields in map(str.split, lines)
    }
    assert set(API_PORTS) & set(programs), "the API listens nowhere, so this proves nothing"
    command = [
        "python3",
        "-c",
        KNOCK,
        proxy.machine.address,
        *map(str, sorted({*programs, *API_PORTS, 8080, 8081, 2375, 2376})),
    ]
    reached = [int(port) for port in proxy.lab.other.sh(shlex.join(command)).split()]
    assert {programs.get(port, port) for port in reached} == {"sshd", "nginx"}
    assert {22, NGINX, THEIR_PORT} <= set(reached)


# --- a proxy of one's own --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unmanaged(proxy: Proxy, before: dict[str, Any]) -> Run:
    assert before
    proxy.write(OWN, OWN_SITE)
    run = proxy.provision(api_proxy_manage=False)
    assert run.rc == 0, run.stdout
    return run


def test_a_proxy_of_ones_own_serves_the_api_by_the_upstream(unmanaged: Run, proxy: Proxy) -> None:
    assert unmanaged.changed
    assert proxy.get(OWN_PORT)[0] == 200


def test_our_site_is_gone_then_and_nothing_else(unmanaged: Run, proxy: Proxy, before: dict[str, Any]) -> None:
    assert unmanaged.changed
    assert (proxy.site(), proxy.seen()) == ("", before)


def test_an_upstream_that_nobody_uses_is_noted(unmanaged: Run, proxy: Proxy) -> None:
    proxy.machine.sh(f"rm {OWN}")
    run = proxy.provision(api_proxy_manage=False)
    assert (unmanaged.rc, run.changed) == (0, {})
    assert f"put `include {UPSTREAM};` into its http part" in " ".join(json.dumps(run.report["notes"]).split())


def test_the_site_is_written_again_when_it_is_to_be_ours_again(unmanaged: Run, proxy: Proxy) -> None:
    run = proxy.provision()
    assert (unmanaged.rc, run.rc) == (0, 0)
    assert proxy.get()[0] == 200
