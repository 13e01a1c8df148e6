"""What an inventory must be before a deployment touches anything.

Pure: mappings in, sentences out. A sentence says what was found, what is expected and what to do; none holds a secret.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..common.values import shown, switch
from ..machine.registry import ADDRESS
from .placement import placement_problems

IMAGES = ("livekit_agent_image", "agent_api_image")
SECRET_MIN_BYTES = 32
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
REGISTRY_KEYS = ("address", "username", "password")
NAMES = ("livekit_agent_name", "livekit_agent_shared_name")
URLS = ("livekit_url", "livekit_api_url")
CREDENTIALS = ("livekit_api_key", "livekit_api_secret")
MAY_BE_SECRET = {*CREDENTIALS, "agent_release_registries"}
WHERE_TO_SET = {name: "the vault or extra vars" if name in CREDENTIALS else "the inventory" for name in REQUIRED}

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
DOCUMENTATION_NETWORKS = [
    ipaddress.ip_network(network) for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
]
LOCAL_SUFFIXES = (".local", ".internal", ".localhost")
LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback"})
UNSPECIFIED = frozenset({"0.0.0.0", "::", "0", "::0"})  # noqa: S104  they are refused
NUMERIC = re.compile(r"(?:0x[0-9a-f]+|\d+)(?:\.(?:0x[0-9a-f]+|\d+)){0,3}")
# Docker Desktop has these in every container.
DOCKER_NAMES = frozenset({"host.docker.internal", "gateway.docker.internal"})
# What clients add to the address themselves.
ENDPOINTS = frozenset({"rtc", "agent", "twirp"})
CLOUD, CLOUD_NODES = "livekit.cloud", 2
DOCUMENTATION_DOMAINS = ("example", "example.com", "example.net", "example.org")
PLACEHOLDER = re.compile(r"change[ _-]?me|replace[ _-]?me|placeholder|<[^<>]*>|^(todo|secret|x{3,}|\.{3,})$", re.IGNORECASE)
APP = re.compile(r"^[a-z0-9][a-z0-9-]{0,31}\Z")
DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
# Registry with an optional port, path, tag: what `docker pull` takes, without the digest.
REFERENCE = re.compile(r"^(?P<path>[A-Za-z0-9.\-\[\]:]+(?:/[a-z0-9._\-/]+)+|[a-z0-9._\-]+)(?::(?P<tag>[A-Za-z0-9_][\w.\-]{0,127}))?$")
# The only text of a templating error that cannot quote a value.
HARMLESS_ERROR = re.compile(r"'[\w.\[\]]+' is undefined|no vault secrets? (were )?found|Decryption failed", re.IGNORECASE)
COPY_THE_EXAMPLE = (
    "Copy inventory/example, which is documentation, to inventory/<yours>, put your hosts and server there "
    "and pass -i inventory/<yours>/hosts.yml."
)


@dataclass(frozen=True)
class Host:
    """One host's settings as text; `unreadable` names those that could not be templated."""

    name: str
    values: Mapping[str, str] = field(repr=False)
    flags: Mapping[str, bool] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()
    structured: Mapping[str, Any] = field(default_factory=dict, repr=False)

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


def inventory_problems(hostvars: Mapping[str, Any], group_hosts: Iterable[str]) -> list[str]:
    """All reasons not to deploy this inventory, at once; an empty list means there is none."""
    names = list(group_hosts)
    read = [read_host(name, hostvars[name]) for name in names]
    hosts = [host for host, _problems in read]
    if not hosts:
        return [f"The group agent_hosts is empty: nothing is configured. {COPY_THE_EXAMPLE}"]
    documentation = list(documentation_addresses(hosts))
    nothing_configured = _nothing_configured(documentation)
    if len({host for host, _variable, _value in documentation}) == len(hosts):
        return nothing_configured  # the example as it is: whatever else is missing follows from that
    problems = [problem for _host, found in read for problem in found]
    for host in hosts:
        problems += host_problems(host)
    return nothing_configured + problems + pool_problems(hosts) + name_problems(hosts) + placement_problems(hostvars, names)


# --- reading ---------------------------------------------------------------------------------------------------------


def server_problems(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> list[str]:
    """A run speaks to one LiveKit server: its probes go out together, and a probe on another server would prove nothing."""
    servers: dict[str, list[str]] = {}
    for name in hosts:
        host, _unreadable = read_host(name, hostvars[name])
        servers.setdefault(_server(host), []).append(name)
    if len(servers) < 2:
        return []
    found = "; ".join(f"{server or 'none'} for {', '.join(names)}" for server, names in servers.items())
    return [f"found several LiveKit servers in one run ({found}), expected one. Run once for each of them, with --limit"]


def read_host(name: str, variables: Mapping[str, Any]) -> tuple[Host, list[str]]:
    """The host's settings; a variable that is not defined or fails to template becomes a sentence, not an exception."""
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
        except Exception as error:  # templating errors have no common public type, and each is the user's to see as a sentence
            problems[variable] = _unreadable(name, variable, error)
            continue
        kind_problem = _store(variable, value, values, flags)
        if kind_problem:
            problems[variable] = f"{name}: {variable} {kind_problem}"
    for variable in BESIDE:
        with suppress(Exception):
            structured[variable] = _deep(_plain(variables[variable]))
    values.setdefault("ansible_host", name)
    return Host(name, values, flags, frozenset(problems), structured), list(problems.values())


def _plain(value: Any) -> Any:
    """The value as a plain type. Text is forced: an undefined variable raises only when it is used."""
    return value if value is None or isinstance(value, bool | int | float | list | Mapping) else str(value)


def _deep(value: Any) -> Any:
    """The same with everything in it plain, so that what is undefined in it raises here."""
    if isinstance(value, Mapping):
        return {str(key): _deep(_plain(one)) for key, one in value.items()}
    return [_deep(_plain(one)) for one in value] if isinstance(value, list) else value


def _store(variable: str, value: Any, values: dict[str, str], flags: dict[str, bool]) -> str:
    """Keep the value by its kind, or say what is wrong with the kind."""
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
    """The innermost words of a templating error; of a secret's only if they cannot quote its value."""
    while error.__cause__ is not None:
        error = error.__cause__
    detail = next(iter(str(error).splitlines()), "") or type(error).__name__
    return type(error).__name__ if secret and not HARMLESS_ERROR.search(detail) else detail


def _unreadable(host: str, variable: str, error: BaseException) -> str:
    detail = why_unreadable(error, variable in MAY_BE_SECRET)
    return f"{host}: {variable} cannot be read ({detail}), expected a value. Define what it refers to, or correct the expression."


# --- one host --------------------------------------------------------------------------------------------------------


def host_problems(host: Host) -> Iterator[str]:
    """What is wrong with one host's own settings."""
    for variable in REQUIRED:
        worker_only = variable == "agent_api_image" and host.values.get(variable) == ""
        if variable not in host.unreadable and not host.get(variable).strip() and not worker_only:
            yield f"{host.name}: {_missing(variable)}"
    for check, variables in (
        (_app_problem, ("agent_release_app",)),
        (_name_problem, NAMES),
        (_url_problem, URLS),
        (_reach_problem, ("livekit_url",)),
        (_image_problem, IMAGES),
        (_credential_problem, CREDENTIALS),
        (_secret_problem, ("livekit_api_secret",)),
    ):
        for variable in variables:
            problem = check(host, host.get(variable)) if host.get(variable).strip() else ""
            if problem:
                yield f"{host.name}: {variable} {problem}"
    yield from (f"{host.name}: agent_release_registries {problem}" for problem in _registry_problems(host))
    yield from (f"{host.name}: agent_release_image_archives {problem}" for problem in _archive_problems(host))


def _missing(variable: str) -> str:
    if variable == "livekit_agent_name":
        return "livekit_agent_name is empty: an agent without a name joins every new room. Give it a name in the inventory."
    return f"{variable} is not set, expected a value. Set it in {WHERE_TO_SET[variable]}."


def _app_problem(_host: Host, app: str) -> str:
    if APP.match(app):
        return ""
    return f"is {app!r}, expected small letters, digits and hyphens: it names directories, compose projects and the proxy's upstream."


def _name_problem(_host: Host, name: str) -> str:
    if re.search(r"\s", name) or not name.isprintable():
        return f"is {name!r}, expected a name without white space: LiveKit compares names byte by byte. Remove the white space."
    return ""


def _url_problem(host: Host, url: str) -> str:
    if url != url.strip() or re.search(r"\s", url) or not url.isprintable():
        return f"is {without_credentials(url)!r} with white space, expected none. Remove it in the inventory."
    parts = _split(url)
    if parts is None:
        return f"is {without_credentials(url)!r}, expected ws://, wss://, http:// or https:// and a host. Correct it in the inventory."
    if parts.username or parts.password:
        return (
            f"is {without_credentials(url)!r} with credentials before the host, expected none. Use livekit_api_key and livekit_api_secret."
        )
    if (parts.hostname or "").rstrip(".") in UNSPECIFIED:
        return f"is {url!r}: an address to listen on, expected the one at which the server is reached. Set that one."
    if parts.query or parts.fragment or parts.path.rstrip("/").rpartition("/")[2] in ENDPOINTS:
        return f"is {url!r} with a path of the server's own or a query, expected scheme, host and port. Leave out what follows."
    if parts.scheme not in SECURE and not is_local(parts.hostname or "") and not host.allows_insecure:
        return (
            f"is {url!r}: not encrypted, to a server that is not local, expected wss:// or https://. "
            "Use that, or set livekit_url_allow_insecure: true if the way there is trusted."
        )
    return ""


def _reach_problem(host: Host, url: str) -> str:
    """Why a container in a network of its own cannot reach the server there."""
    parts = _split(url)
    name = ((parts.hostname or "") if parts else "").rstrip(".").lower()
    if parts is None or name in UNSPECIFIED:
        return ""  # said already
    if is_loopback(name):
        return (
            f"is {without_credentials(url)!r}: a loopback address, which in a container is the container itself, expected the "
            "address at which containers reach the server. Set that one (the server's own in its network, say), "
            "and livekit_api_url where the controller needs another one."
        )
    if name in DOCKER_NAMES and not all(_knows(host, service, name) for service in _services(host)):
        return (
            f"is {without_credentials(url)!r}: Docker on Linux gives containers no address for {name}, expected one that they know. Set "
            f'the server\'s address, or add extra_hosts: ["{name}:host-gateway"] to livekit_agent_compose and agent_api_compose.'
        )
    return ""


def _services(host: Host) -> list[str]:
    return ["livekit_agent_compose", *(["agent_api_compose"] if host.get("agent_api_image") else [])]


def _knows(host: Host, variable: str, name: str) -> bool:
    """Whether a service is told the address of a name."""
    given = host.structured.get(variable)
    known = given.get("extra_hosts") if isinstance(given, Mapping) else None
    listed = list(known) if isinstance(known, Mapping | list) else []
    return any(re.split(r"[:=]", str(one))[0].lower() == name for one in listed)


def _image_problem(host: Host, image: str) -> str:
    if image in host.archives:
        return ""  # known by its id
    reference, at, digest = image.partition("@")
    parsed = REFERENCE.match(reference)
    if parsed is None or (at and not DIGEST.match(digest)):
        return f"is {image!r}, expected an image reference like registry/name@sha256:<64 hex digits>. Correct it in the inventory."
    if at:
        return ""
    if parsed["tag"] in (None, "latest"):
        found = "has no tag" if parsed["tag"] is None else "floats with :latest"
        return f"is {image!r} and {found}, expected a digest (name@sha256:…). Pin it: `docker buildx imagetools inspect` prints the digest."
    if not host.allows_tags:
        return f"is {image!r}, expected a digest (name@sha256:…). Pin it, or set agent_release_allow_tags: true to allow a tag."
    return ""


def _credential_problem(_host: Host, value: str) -> str:
    """Without the value in any case: the sentence is printed and logged."""
    if PLACEHOLDER.search(value):
        return "is a placeholder, expected a real value. Put the one of your LiveKit server into the vault."
    if re.search(r"\s", value):
        return "has white space in it, expected none. Remove it from the vault: a new line at the end is enough to fail."
    return ""


def _secret_problem(_host: Host, secret: str) -> str:
    size = len(secret.encode())
    if PLACEHOLDER.search(secret) or size >= SECRET_MIN_BYTES:
        return ""
    return (
        f"is {size} bytes long, expected at least {SECRET_MIN_BYTES}. "
        "Make one with `openssl rand -base64 36`, for the server and for the vault."
    )


def _registry_problems(host: Host) -> Iterator[str]:
    """Without passwords and user names in any case."""
    entries = host.structured.get("agent_release_registries")
    if not isinstance(entries or [], list):
        yield f"is of type {type(entries).__name__}, expected a list of address, username and password. Correct it in the inventory."
        return
    addresses = []
    for number, entry in enumerate(entries or [], 1):
        if not isinstance(entry, Mapping):
            yield f"has entry {number} of type {type(entry).__name__}, expected {', '.join(REGISTRY_KEYS)}. Correct it in the inventory."
            continue
        address = str(entry.get("address") or "")
        addresses.append(address)
        name = address if ADDRESS.match(address) else f"entry {number}"
        yield from (f"of {name} {problem}" for problem in _entry_problems(entry))
    for address in sorted({one for one in addresses if one and addresses.count(one) > 1}):
        yield f"has {address} {addresses.count(address)} times, expected once. Remove the one that does not hold."


def _entry_problems(entry: Mapping[str, Any]) -> Iterator[str]:
    unknown = sorted(entry.keys() - set(REGISTRY_KEYS))
    if unknown:
        yield f"has {', '.join(unknown)}, expected only {', '.join(REGISTRY_KEYS)}. Correct the name, or remove it."
    for key in REGISTRY_KEYS:
        value = entry.get(key)
        if value is None or not str(value).strip():
            yield f"has no {key}, expected a value. Set it in {'the inventory' if key == 'address' else 'the vault or extra vars'}."
        elif not isinstance(value, str):
            yield f"has a {key} of type {type(value).__name__}, expected text. Put it in quotes: YAML changes numbers."
        elif key == "address":
            yield from _registry_address_problems(str(value))
        elif PLACEHOLDER.search(str(value)):
            yield f"has a placeholder as {key}, expected a real value. Put the one of your registry into the vault."
        elif re.search(r"[\r\n]", str(value)) or (key == "username" and ":" in str(value)):
            yield f"has a {key} with a new line or, in a user name, a colon, expected none. Correct it in the vault."


def _registry_address_problems(address: str) -> Iterator[str]:
    if not ADDRESS.match(address):
        yield f"has {without_credentials(address)!r} as address, expected host or host:port as the images name it. Leave out the rest."


def _archive_problems(host: Host) -> Iterator[str]:
    archives = host.structured.get("agent_release_image_archives")
    if archives is not None and not isinstance(archives, Mapping):
        yield f"is of type {type(archives).__name__}, expected an archive's path for each image. Correct it in the inventory."
        return
    for image, path in host.archives.items():
        if not isinstance(path, str) or not path.strip():
            yield f"has no path for {image}, expected that of an archive of docker save. Correct it in the inventory."
        if "@" in image:
            yield f"has {image}, expected a reference without a digest: its id is read from the archive. Leave out @sha256:…"


# --- between hosts ---------------------------------------------------------------------------------------------------


def pool_problems(hosts: list[Host]) -> list[str]:
    """Hosts of one pool share their name on purpose: they must agree on it, and on the server."""
    problems = []
    for pool, members in _grouped(hosts, _pool).items():
        for variable, read in (("livekit_agent_name", _agent_name), ("livekit_url", _server)):
            values = _grouped([host for host in members if read(host)], read)
            if len(values) > 1:
                found = ", ".join(f"{value!r} on {_names(of)}" for value, of in values.items())
                problems.append(
                    f"Pool {pool}: {variable} is {found}, expected one value in a pool. "
                    "Give them the same one, or each host a livekit_agent_pool of its own."
                )
    return problems


def name_problems(hosts: list[Host]) -> list[str]:
    """Names that would send a call to a host of another pool, or that a reader would take for the same."""
    problems = []
    for members in _grouped([host for host in hosts if host.server], _server).values():
        problems += _shared_by_pools(members)
        problems += [text for one, other in combinations(members, 2) for text in _look_alikes(one, other)]
        problems += _shadowed(members)
    return problems


def _shared_by_pools(hosts: list[Host]) -> list[str]:
    problems = []
    for name, members in _grouped([host for host in hosts if host.agent_name], _agent_name).items():
        pools = _grouped(members, _pool)
        if len(pools) > 1:
            found = " and ".join(f"{_names(of)} (pool {pool})" for pool, of in pools.items())
            problems.append(
                f"The agent name {name!r} is used by {found} on {members[0].server}, expected one pool for a name: "
                "LiveKit would send "
                "calls to either. Give each pool its own livekit_agent_name, or these hosts one livekit_agent_pool."
            )
    return problems


def _look_alikes(one: Host, other: Host) -> list[str]:
    if one.agent_name == other.agent_name or folded(one.agent_name) != folded(other.agent_name) or not one.agent_name:
        return []
    return [
        f"The agent names {one.agent_name!r} of {one.name} and {other.agent_name!r} of {other.name} differ only in "
        "case or white space, "
        "expected names that cannot be taken for each other: LiveKit keeps them apart, people do not. Change one of "
        "them."
    ]


def _shadowed(hosts: list[Host]) -> list[str]:
    """A live name that is what another pool is rolled back to."""
    problems = []
    for host in (host for host in hosts if host.agent_name):
        others = [other for other in hosts if other.pool != host.pool and folded(other.shared_name) == folded(host.agent_name)]
        if others:
            problems.append(
                f"{host.name}: livekit_agent_name {host.agent_name!r} is the livekit_agent_shared_name of "
                f"{_names(others)}, expected a "
                "name no other pool can be rolled back to. Give it a name of its own, or put these hosts into one "
                "livekit_agent_pool."
            )
    return problems


def _agent_name(host: Host) -> str:
    return host.agent_name


def _server(host: Host) -> str:
    return host.server


def _pool(host: Host) -> str:
    return host.pool


def folded(name: str) -> str:
    return re.sub(r"\s+", "", name).casefold()


def _names(hosts: Iterable[Host]) -> str:
    return ", ".join(host.name for host in hosts)


def _grouped(hosts: Iterable[Host], key: Callable[[Host], str]) -> dict[str, list[Host]]:
    groups: dict[str, list[Host]] = defaultdict(list)
    for host in hosts:
        groups[key(host)].append(host)
    return groups


# --- addresses -------------------------------------------------------------------------------------------------------


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        return None
    return parts if usable else None


def normalised_url(url: str) -> str:
    """One text for one server: ws is http, wss is https, the default port is written out, case and a last slash do "
    "not count."""
    parts = _split(url)
    if parts is None:
        return ""
    host = (parts.hostname or "").rstrip(".")
    address = _address(host)
    if address is not None:
        host = f"[{address}]" if address.version == 6 else str(address)
    scheme = "wss" if parts.scheme in SECURE else "ws"
    return f"{scheme}://{host}:{parts.port or PORTS[parts.scheme]}{parts.path.rstrip('/')}"


def without_credentials(url: str) -> str:
    """The URL as it may be printed."""
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
    """Loopback, private and link-local addresses, and names that no public DNS has."""
    address = _address(host)
    if address is not None:
        return any(address in network for network in LOCAL_NETWORKS)
    name = host.rstrip(".").lower()
    return "." not in name or name.endswith(LOCAL_SUFFIXES)


def nodes_of(url: str, set_to: Any = None) -> int:
    """How many nodes the LiveKit server has: as the inventory says, else several on LiveKit Cloud, whose routing is not known, and one."""
    if set_to not in (None, ""):
        return int(set_to)
    parts = _split(url)
    name = ((parts.hostname or "") if parts else "").rstrip(".").lower()
    return CLOUD_NODES if name == CLOUD or name.endswith(f".{CLOUD}") else 1


def is_documentation(host: str) -> bool:
    """An address that exists to be written in documentation, so never one to contact."""
    address = _address(host)
    if address is not None:
        return any(address in network for network in DOCUMENTATION_NETWORKS)
    name = host.rstrip(".").lower()
    return any(name == domain or name.endswith(f".{domain}") for domain in DOCUMENTATION_DOMAINS)


def documentation_addresses(hosts: Iterable[Host]) -> Iterator[tuple[str, str, str]]:
    """Host, variable and value of each documentation address in force."""
    for host in hosts:
        for variable in (*URLS, "ansible_host"):
            value = host.get(variable)
            parts = _split(value) if variable in URLS else None
            if is_documentation((parts.hostname or "") if parts else value):
                yield host.name, variable, without_credentials(value)


def _nothing_configured(found: list[tuple[str, str, str]]) -> list[str]:
    if not found:
        return []
    listed = ", ".join(f"{host} ({variable} {value})" for host, variable, value in found)
    return [f"Nothing is configured: documentation addresses are in force on {listed}, expected real ones. {COPY_THE_EXAMPLE}"]
