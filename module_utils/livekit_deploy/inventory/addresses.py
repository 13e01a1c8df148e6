# SPDX-License-Identifier: Apache-2.0
"""Addresses of servers and hosts: how they are compared, shown, and what kind they are. Pure."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any
from urllib.parse import SplitResult, urlsplit

PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}
SECURE = {"wss", "https"}
LOCAL_NETWORKS = [
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
]
_DOCUMENTATION = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
DOCUMENTATION_NETWORKS = [ipaddress.ip_network(network) for network in _DOCUMENTATION]
LOCAL_SUFFIXES = (".local", ".internal", ".localhost")
_LOCALHOSTS = ("localhost", "localhost.localdomain", "localhost4", "localhost6")
LOOPBACK_NAMES = frozenset((*_LOCALHOSTS, "ip6-localhost", "ip6-loopback"))
UNSPECIFIED = frozenset({"0.0.0.0", "::", "0", "::0"})  # noqa: S104  they are refused
NUMERIC = re.compile(r"(?:0x[0-9a-f]+|\d+)(?:\.(?:0x[0-9a-f]+|\d+)){0,3}")
CLOUD, CLOUD_NODES = "livekit.cloud", 2
DOCUMENTATION_DOMAINS = ("example", "example.com", "example.net", "example.org")


def split_url(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        return None
    return parts if usable else None


def normalised_url(url: str) -> str:
    """Return one text for one server: ws is http, the default port is written, case and a last slash do not count."""
    parts = split_url(url)
    if parts is None:
        return ""
    host = (parts.hostname or "").rstrip(".")
    address = _address(host)
    if address is not None:
        host = f"[{address}]" if address.version == 6 else str(address)
    scheme = "wss" if parts.scheme in SECURE else "ws"
    return f"{scheme}://{host}:{parts.port or PORTS[parts.scheme]}{parts.path.rstrip('/')}"


def without_credentials(url: str) -> str:
    """Return the URL as it may be printed."""
    return re.sub(r"//[^/]*@", "//***@", url)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Return whether a name or an address, in any of the ways to write it, is the machine's own."""
    name = host.strip("[]").rstrip(".").lower()
    address = _address(name)
    if address is None and NUMERIC.fullmatch(name):
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))  # 127.1 and 2130706433 are addresses, too
        except OSError:
            return False
    if address is not None:
        mapped = getattr(address, "ipv4_mapped", None)
        return bool((mapped or address).is_loopback)
    return name in LOOPBACK_NAMES or name.endswith(".localhost")


def is_local(host: str) -> bool:
    """Return whether an address is loopback, private or link-local, or a name that no public DNS has."""
    address = _address(host)
    if address is not None:
        return any(address in network for network in LOCAL_NETWORKS)
    name = host.rstrip(".").lower()
    return "." not in name or name.endswith(LOCAL_SUFFIXES)


def node_count(url: str, set_to: Any = None) -> int:
    """Return how many nodes the LiveKit server has: as the inventory says, else one.

    LiveKit Cloud has several, whose routing is not known.
    """
    if set_to not in (None, ""):
        return int(set_to)
    parts = split_url(url)
    name = ((parts.hostname or "") if parts else "").rstrip(".").lower()
    return CLOUD_NODES if name == CLOUD or name.endswith(f".{CLOUD}") else 1


def is_documentation(host: str) -> bool:
    """Return whether an address exists to be written in documentation, so that it is never one to contact."""
    address = _address(host)
    if address is not None:
        return any(address in network for network in DOCUMENTATION_NETWORKS)
    name = host.rstrip(".").lower()
    return any(name == domain or name.endswith(f".{domain}") for domain in DOCUMENTATION_DOMAINS)
