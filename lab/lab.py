"""The local staging fleet: one way to make a host, for the demo, Molecule, tests and benchmarks.

    lab.py up [--hosts N]      make or repair the lab; does nothing where all is there
    lab.py down                remove what the lab made; keep the cache of built parts
    lab.py purge               down, and remove the cached images and files too
    lab.py other start|stop    somebody else's worker under the shared name
    lab.py frontdesk           build and push the second application's image, print its repository and tag
    lab.py server              build the LiveKit server if need be, print its path
    lab.py host-up NAME ...    add bare hosts (Molecule and tests), print them as JSON
    lab.py host-down NAME ...  remove them

Everything carries the label ``livekit-agent-deploy.lab`` with the checkout as its value; nothing without it is touched.
"""

from __future__ import annotations

import argparse
import hashlib
import ipaddress
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LAB = ROOT / "lab"
BUILD = ROOT / "build"
STATE = BUILD / "lab"
CACHE = Path(
    os.environ.get("LIVEKIT_DEPLOY_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "livekit-agent-deploy"
)
LABEL = "livekit-agent-deploy.lab"
ROLE = "livekit-agent-deploy.role"
PREFIX = "lkad"
LIVEKIT_VERSION = "v1.13.5"
# Tried in turn: a network of the machine or of its Engine may have one already.
SUBNETS = ("10.213.77.0/24", "10.214.77.0/24", "10.215.77.0/24", "192.168.213.0/24")
LIVEKIT_HOST = "livekit"
# Instance and port. The lab's server is `main`; the other two share a Redis and are for tests of several nodes.
LIVEKIT_INSTANCES = {"main": 7880, "a": 7980, "b": 7990}
SHARED_NAME = "sidekick-agent-staging"
SERVICES = ("api", "worker")
# `--privileged` needs CAP_SYS_RESOURCE, which a controller in a virtual machine of its own may lack; this set boots
# systemd and runs an inner Engine.
CAPABILITIES = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "BLOCK_SUSPEND",
    "DAC_READ_SEARCH",
    "IPC_LOCK",
    "IPC_OWNER",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "NET_ADMIN",
    "NET_BROADCAST",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
]


class LabError(Exception):
    """Something the user has to know; the message says found, expected and what to do."""


def say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def timed(what: str, work: Callable[..., Any], *args: Any) -> None:
    """Run ``work(*args)`` and say how long it took; for steps of more than a second or two."""
    say(f"{what} ...")
    started = time.monotonic()
    work(*args)
    say(f"{what}: {time.monotonic() - started:.1f} s")


def run(
    argv: list[str], *, data: str | None = None, check: bool = True, **kwargs: Any
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, input=data, text=True, capture_output=True, check=False, **kwargs)
    if check and done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        raise LabError(f"found: {' '.join(argv[:4])} … exited with {done.returncode}\n{tail}")
    return done


def as_root(argv: list[str]) -> list[str]:
    return argv if os.geteuid() == 0 else ["sudo", *argv]


def docker(*argv: str, check: bool = True, data: str | None = None) -> str:
    return run(as_root(["docker", *argv]), check=check, data=data).stdout.strip()


def inspect(kind: str, name: str) -> dict[str, Any] | None:
    done = run(as_root(["docker", kind, "inspect", name]), check=False)
    return json.loads(done.stdout)[0] if done.returncode == 0 else None


# --- images -----------------------------------------------------------------------------------------------------


def digest_of(*parts: Path | str) -> str:
    """Short content hash over files, directories and strings: the tag of what is built from them."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(part.encode())
            continue
        for path in sorted(part.rglob("*")) if part.is_dir() else [part]:
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def build_image(tag: str, context: Path, *options: str) -> None:
    # The legacy builder is what Debian's Engine has; `--network host` reaches the package registries as we do.
    docker("build", "--network", "host", "--label", f"{LABEL}=image", "--tag", tag, *options, str(context))


def base_image() -> str:
    tag = f"{PREFIX}/debian:{digest_of('trixie minbase ca-certificates')}"
    if inspect("image", tag):
        return tag

    def make() -> None:
        CACHE.mkdir(parents=True, exist_ok=True)
        tar = CACHE / "debian-trixie.tar"
        if not tar.exists():
            partial = tar.with_suffix(".partial.tar")
            run(
                as_root(
                    ["mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates", "trixie", str(partial)]
                )
            )
            partial.rename(tar)
        docker("import", "--change", f"LABEL {LABEL}=image", str(tar), tag)

    timed("building the Debian 13 base image", make)
    return tag


def derived_image(name: str, base: str, extra: Iterable[tuple[str, Path]] = ()) -> str:
    """Build ``lab/images/<name>`` on ``base``; ``extra`` are files added to the build context."""
    source = LAB / "images" / name
    extra = list(extra)
    tag = f"{PREFIX}/{name}:{digest_of(source, base, *(hashlib.sha256(p.read_bytes()).hexdigest() for _, p in extra))}"
    if inspect("image", tag):
        return tag

    def make() -> None:
        context = CACHE / "context" / name
        shutil.rmtree(context, ignore_errors=True)
        shutil.copytree(source, context)
        for target, path in extra:
            shutil.copy(path, context / target)
        build_image(tag, context, *(["--build-arg", f"BASE={base}"] if base else []))
        shutil.rmtree(context)

    timed(f"building the image {name}", make)
    return tag


def livekit_binary() -> Path:
    """Build the server from the Go module proxy; the module file pins every dependency by hash."""
    source = LAB / "livekit-server"
    binary = CACHE / f"livekit-server-{LIVEKIT_VERSION}-{digest_of(source)}"
    if binary.exists():
        return binary

    def make() -> None:
        work = CACHE / "livekit-server-build"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(source, work)
        # A toolchain newer than the installed Go comes through the module proxy.
        env = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "auto"}
        package = "github.com/livekit/livekit-server/cmd/server"
        run(["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", "livekit-server", package], cwd=work, env=env)
        (work / "livekit-server").rename(binary)
        shutil.rmtree(work)

    timed(f"building livekit-server {LIVEKIT_VERSION} from its sources", make)
    return binary


def ca_bundle() -> Path:
    configured = os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt"
    return Path(configured)


def python_images() -> tuple[str, str]:
    """The base of an application's image, and where its dependencies are installed."""
    python = derived_image("python", base_image())
    return python, derived_image("python-build", python, [("ca.crt", ca_bundle())])


def frontdesk_image() -> str:
    """Build the second application; returns its local tag."""
    source, (python, builder) = ROOT / "examples/frontdesk", python_images()
    tag = f"{PREFIX}/frontdesk:{digest_of(source, python, builder)}"
    if not inspect("image", tag):
        options = ["--build-arg", f"BASE_IMAGE={python}", "--build-arg", f"BUILD_IMAGE={builder}"]
        timed("building the application image frontdesk", build_image, tag, source, *options)
    return tag


def application_images() -> dict[str, str]:
    """Build the reference application once on the controller; returns service -> local tag."""
    python, builder = python_images()
    tags = {}
    for service in SERVICES:
        sources = [ROOT / "examples/sidekick" / service, ROOT / "probe_hook/src", ROOT / ".dockerignore"]
        tag = f"{PREFIX}/sidekick-{service}:{digest_of(*sources, python, builder)}"
        if not inspect("image", tag):
            dockerfile = ROOT / "examples/sidekick" / service / "Dockerfile"
            options = [
                "--file",
                str(dockerfile),
                "--build-arg",
                f"BASE_IMAGE={python}",
                "--build-arg",
                f"BUILD_IMAGE={builder}",
            ]
            timed(f"building the application image sidekick-{service}", build_image, tag, ROOT, *options)
        tags[service] = tag
    return tags


# --- containers -------------------------------------------------------------------------------------------------


def ours(kind: str) -> list[dict[str, Any]]:
    """All containers, networks or volumes with our label, of this and of other checkouts."""
    listing = ["ps", "-a"] if kind == "container" else [kind, "ls"]
    flag = "--filter", f"label={LABEL}"
    names = docker(*listing, *flag, "--format", "{{.Names}}" if kind == "container" else "{{.Name}}").split()
    return [found for name in names if (found := inspect(kind, name))]


def labels(thing: dict[str, Any]) -> dict[str, str]:
    return (thing.get("Config", {}).get("Labels") or thing.get("Labels")) or {}


def remove(checkout: str) -> int:
    """Remove the containers, networks and volumes that this checkout's lab made; returns how many."""
    count = 0
    for kind, command in (
        ("container", ["rm", "-f", "-v"]),
        ("network", ["network", "rm"]),
        ("volume", ["volume", "rm"]),
    ):
        for found in ours(kind):
            if labels(found)[LABEL] == checkout:
                docker(*command, found["Name"].lstrip("/"))
                count += 1
    return count


def replace_other_checkout() -> None:
    others = {labels(c)[LABEL] for c in ours("container") + ours("network")} - {str(ROOT)}
    for other in sorted(others):
        say(f"replacing the lab that another checkout left here ({other}): one lab a machine")
        remove(other)


def network() -> ipaddress.IPv4Network:
    name = f"{PREFIX}-net"
    if not inspect("network", name):
        for subnet in SUBNETS:
            argv = ["docker", "network", "create", "--label", f"{LABEL}={ROOT}", "--subnet", subnet, name]
            if run(as_root(argv), check=False).returncode == 0:
                break
        else:
            raise LabError(
                f"found: none of the networks {', '.join(SUBNETS)} is free. Remove a Docker network that uses one"
            )
    found = inspect("network", name) or {}
    return ipaddress.IPv4Network(found["IPAM"]["Config"][0]["Subnet"])


def address_of(container: dict[str, Any]) -> str:
    return str(container["NetworkSettings"]["Networks"][f"{PREFIX}-net"]["IPAMConfig"]["IPv4Address"])


def container(name: str, role: str, address: str, image: str, options: list[str], command: Iterable[str] = ()) -> bool:
    """Converge one lab container; True if it was created or started."""
    full = f"{PREFIX}-{name}"
    found = inspect("container", full)
    if found and (found["Config"]["Image"] != image or address_of(found) != address):
        say(f"{name}: made from an older image, making it anew")
        docker("rm", "-f", "-v", full)
        docker("volume", "rm", "-f", f"{full}-docker")
        found = None
    if not found:
        docker(
            "run", "-d", "--name", full, "--hostname", name, "--label", f"{LABEL}={ROOT}", "--label", f"{ROLE}={role}",
            "--network", f"{PREFIX}-net", "--ip", address, *options, image, *command,
        )  # fmt: skip
        return True
    if not found["State"]["Running"]:
        say(f"{name}: was stopped ({found['State']['Status']}), starting it")
        docker("start", full)
        return True
    return False


def host_options(name: str) -> list[str]:
    volume = f"{PREFIX}-{name}-docker"
    docker("volume", "create", "--label", f"{LABEL}={ROOT}", volume)
    return [
        *(f"--cap-add={cap}" for cap in CAPABILITIES),
        *("--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined",
          "--security-opt=systempaths=unconfined"),
        *("--device-cgroup-rule", "a *:* rwm", "--cgroupns=private", "--stop-signal=SIGRTMIN+3"),
        *("--tmpfs=/run:exec", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec", "-v", f"{volume}:/var/lib/docker"),
    ]  # fmt: skip


def host_containers() -> dict[str, dict[str, Any]]:
    return {
        c["Name"].lstrip("/").removeprefix(f"{PREFIX}-"): c for c in ours("container") if labels(c).get(ROLE) == "host"
    }


def host(name: str, image: str, address: str = "") -> bool:
    """Converge one host, ready for SSH. An address once given to a host stays its own."""
    changed = container(name, "host", address or host_address(name), image, host_options(name))
    wait_until(f"{name}: systemd is up", lambda: system_is_up(name), 60)
    authorize(name)
    return changed


def host_address(name: str) -> str:
    existing = host_containers()
    if name in existing:
        return address_of(existing[name])
    taken = {address_of(c) for c in existing.values()}
    net = network()
    return next(str(net[n]) for n in range(20, 250) if str(net[n]) not in taken)


def system_is_up(name: str) -> bool:
    argv = ["docker", "exec", f"{PREFIX}-{name}", "systemctl", "is-active", "--quiet", "ssh"]
    return run(as_root(argv), check=False).returncode == 0


def authorize(name: str) -> None:
    key = (STATE / "ssh/id_ed25519.pub").read_text()
    script = (
        'f=/home/deploy/.ssh/authorized_keys; k=$(cat); [ "$(cat $f 2>/dev/null)" = "$k" ] || '
        '{ printf "%s\\n" "$k" >$f; chown deploy: $f; chmod 0600 $f; }'
    )
    docker("exec", "-i", f"{PREFIX}-{name}", "sh", "-c", script, data=key)


def wait_until(what: str, holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise LabError(f"expected within {seconds:.0f} s: {what}. Run `make lab-down` and `make lab` again")
        time.sleep(0.1)


def livekit(net: ipaddress.IPv4Network, host_image: str) -> None:
    """A host whose LiveKit server logs to the journal.
    Two more servers, nodes behind one Redis, are there for a test to start."""
    image = derived_image("livekit", host_image, [("livekit-server", livekit_binary())])
    host(LIVEKIT_HOST, image, str(net[3]))
    for instance in LIVEKIT_INSTANCES:
        docker(
            *f"exec -i {PREFIX}-{LIVEKIT_HOST} install-livekit-config {instance}".split(),
            data=livekit_config(net, instance),
        )
    docker(*f"exec {PREFIX}-{LIVEKIT_HOST} systemctl enable --quiet --now livekit-server@main".split())


def livekit_config(net: ipaddress.IPv4Network, instance: str) -> str:
    port = LIVEKIT_INSTANCES[instance]
    config: dict[str, Any] = {
        "port": port,
        "bind_addresses": ["0.0.0.0"],  # noqa: S104 - its own network namespace; nothing is published
        "keys": {livekit_keys()["api_key"]: livekit_keys()["api_secret"]},
        "rtc": {"tcp_port": port + 1, "udp_port": port + 2, "node_ip": str(net[3]), "use_external_ip": False},
        "logging": {"level": "info", "json": True},
    }
    if instance != "main":
        config["redis"] = {"address": "127.0.0.1:6379"}
    return json.dumps(config, indent=2)


def livekit_keys() -> dict[str, str]:
    path = STATE / "livekit-keys.json"
    if not path.exists():
        write_private(path, json.dumps({"api_key": "lab", "api_secret": secrets.token_urlsafe(36)}))
    keys: dict[str, str] = json.loads(path.read_text())
    return keys


def write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    partial.rename(path)


def registry(net: ipaddress.IPv4Network) -> str:
    volume = f"{PREFIX}-registry-data"
    docker("volume", "create", "--label", f"{LABEL}={ROOT}", volume)
    options = ["-p", "127.0.0.1::5000", "-v", f"{volume}:/var/lib/registry"]
    container("registry", "registry", str(net[4]), derived_image("registry", base_image()), options)
    return f"{net[4]}:5000"


def private_registry(net: ipaddress.IPv4Network) -> dict[str, str]:
    """The same images once more, from a registry that has TLS by an authority of the lab's own and wants a login."""
    address, directory = str(net[5]), STATE / "private-registry"
    made = private_registry_files(directory, address)
    settings = {
        "REGISTRY_HTTP_TLS_CERTIFICATE": "/private/server.crt",
        "REGISTRY_HTTP_TLS_KEY": "/private/server.key",
        "REGISTRY_AUTH": "htpasswd",
        "REGISTRY_AUTH_HTPASSWD_REALM": "lab",
        "REGISTRY_AUTH_HTPASSWD_PATH": "/private/htpasswd",
    }
    environment = [f"--env={name}={value}" for name, value in settings.items()]
    options = ["-v", f"{PREFIX}-registry-data:/var/lib/registry", "-v", f"{directory}:/private:ro", *environment]
    container("registry-private", "registry", address, derived_image("registry", base_image()), options)
    return {"address": f"{address}:5000", "ca": str((directory / "ca.crt").relative_to(ROOT)), **made}


def private_registry_files(directory: Path, address: str) -> dict[str, str]:
    """Authority, certificate and login for an address, made once; returns the login."""
    login = directory / "login.json"
    if not login.exists():
        directory.mkdir(parents=True, exist_ok=True)
        new = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "3650",
        ]
        authority = ["-keyout", str(directory / "ca.key"), "-out", str(directory / "ca.crt")]
        run([*new, *authority, "-subj", "/CN=livekit-agent-deploy lab"])
        names = [
            "-subj",
            "/CN=registry",
            "-addext",
            f"subjectAltName=IP:{address}",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]
        signed = ["-CA", str(directory / "ca.crt"), "-CAkey", str(directory / "ca.key")]
        run([*new, "-keyout", str(directory / "server.key"), "-out", str(directory / "server.crt"), *names, *signed])
        username, password = "lab", secrets.token_urlsafe(24)
        # The registry takes bcrypt only; perl is on every Debian, and hashes what it reads. A salt is 22 characters.
        hashed = run(
            ["perl", "-e", "print crypt(<STDIN>, q($2y$05$) . $ARGV[0])", secrets.token_hex(11)], data=password
        ).stdout
        write_private(directory / "htpasswd", f"{username}:{hashed}\n")
        write_private(login, json.dumps({"username": username, "password": password}))
    made: dict[str, str] = json.loads(login.read_text())
    return made


def push_address() -> str:
    """Loopback is allowed without TLS by every Engine, so images are pushed there; the digest is the same."""
    wait_until(
        "the registry's port is published", lambda: bool(docker("port", f"{PREFIX}-registry", "5000", check=False)), 10
    )
    return docker("port", f"{PREFIX}-registry", "5000").splitlines()[0]


def push(local: str, repository: str) -> str:
    """Push a local image unless the registry has it; returns ``repository:tag``."""
    name = f"{repository}:{local.rsplit(':', 1)[1]}"
    marker = STATE / "pushed" / name.replace("/", "_").replace(":", "_")
    created = inspect("volume", f"{PREFIX}-registry-data") or {}
    if not marker.exists() or marker.read_text() != created.get("CreatedAt"):
        target = f"{push_address()}/{name}"
        docker("tag", local, target)
        timed(f"pushing {name}", docker, "push", "--quiet", target)
        docker("rmi", target)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(created.get("CreatedAt", ""))
    return name


# --- what Ansible and ssh read ----------------------------------------------------------------------------------


def ssh_key() -> None:
    key = STATE / "ssh/id_ed25519"
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        key.parent.chmod(0o700)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "livekit-agent-deploy lab", "-f", str(key)])


def write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        write_private(path, text)


def write_ssh_files() -> None:
    entries, known = [], []
    for name, found in sorted(host_containers().items()):
        if not found["State"]["Running"]:
            continue  # stopped, or being removed by somebody else: it answers nobody
        address = address_of(found)
        entries.append(f"Host {name} {address}\n  HostName {address}\n  HostKeyAlias {address}\n")
        key = docker("exec", f"{PREFIX}-{name}", "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()
        known.append(f"{address} {key[0]} {key[1]}\n")
    common = (
        f"Host *\n  User deploy\n  IdentityFile {STATE}/ssh/id_ed25519\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {STATE}/ssh/known_hosts\n  StrictHostKeyChecking yes\n"
    )
    write_if_changed(STATE / "ssh/known_hosts", "".join(known))
    write_if_changed(STATE / "ssh_config", "\n".join(entries) + "\n" + common)


def inventory_document(hosts: list[str], images: dict[str, str], registry_address: str) -> dict[str, Any]:
    lookup = "{{ (lookup('ansible.builtin.file', inventory_dir ~ '/../../lab.json') | from_json).livekit.%s }}"
    return {
        "all": {
            "vars": {
                "ansible_ssh_common_args": "-F {{ inventory_dir }}/../ssh_config",
                "docker_host_insecure_registries": [registry_address],
                # The lab builds its own images and names them by content, so a tag cannot float here.
                "agent_release_allow_tags": True,
                "agent_release_app": "sidekick",
                "livekit_url": lookup % "url",
                "livekit_api_key": lookup % "api_key",
                "livekit_api_secret": lookup % "api_secret",
                "livekit_agent_shared_name": SHARED_NAME,
                "livekit_agent_image": f"{registry_address}/{images['worker']}",
                "agent_api_image": f"{registry_address}/{images['api']}",
                # A nearly idle worker refuses about one dispatch in 150 with the default load function.
                "livekit_agent_env": {
                    "SIDEKICK_LOAD": "0",
                    "SIDEKICK_LOAD_THRESHOLD": "inf",
                    "SIDEKICK_DRAIN_TIMEOUT_SECONDS": "120",
                },
                "livekit_agent_drain_timeout_seconds": 120,
            }
        },
        "agent_hosts": {
            "hosts": {
                name: {
                    "ansible_host": address_of(host_containers()[name]),
                    "livekit_agent_name": f"{SHARED_NAME}-{name}",
                }
                for name in hosts
            }
        },
    }


def write_more_inventories(other: str, net: ipaddress.IPv4Network) -> None:
    """A second inventory (`-i`): somebody else's host for the demo and as a suspect, and the LiveKit server."""
    somebody = {other: {"ansible_host": address_of(host_containers()[other])}}
    unit = {"livekit_server_log_unit": "livekit-server@main", "livekit_url": f"ws://{net[3]}:7880"}
    groups = {
        "inventory-other": {"other_hosts": {"hosts": somebody}},
        "inventory-suspects": {"suspects": {"hosts": somebody}},
        "inventory-servers": {"livekit_servers": {"hosts": {LIVEKIT_HOST: {"ansible_host": str(net[3]), **unit}}}},
    }
    for directory, document in groups.items():
        write_if_changed(STATE / directory / "hosts.yml", json.dumps(document, indent=2) + "\n")


def incident_document(document: dict[str, Any]) -> dict[str, Any]:
    """The same fleet on its first day: one host, under the name that somebody else has, too."""
    first, values = next(iter(document["agent_hosts"]["hosts"].items()))
    return {**document, "agent_hosts": {"hosts": {first: {**values, "livekit_agent_name": SHARED_NAME}}}}


def write_lab_json(
    hosts: list[str], other: str, registry_address: str, private: dict[str, str], net: ipaddress.IPv4Network
) -> None:
    everyone = host_containers()
    entry = {name: {"name": name, "address": address_of(found)} for name, found in everyone.items()}
    document = {
        "livekit": {"url": f"ws://{net[3]}:7880", **livekit_keys(), "host": entry[LIVEKIT_HOST]},
        "inventory": "build/lab/inventory/hosts.yml",
        "ssh_config": "build/lab/ssh_config",
        "registry": registry_address,
        "private_registry": private,
        "hosts": [entry[name] for name in hosts],
        "other_host": entry[other],
    }
    write_if_changed(BUILD / "lab.json", json.dumps(document, indent=2) + "\n")


# --- somebody else's deployment ---------------------------------------------------------------------------------


def other_deployment(name: str, image: str) -> None:
    """A hand-made compose project with a worker under the shared name, as its owner would have it."""
    keys = livekit_keys()
    environment = {
        "LIVEKIT_URL": f"ws://{network()[3]}:7880",
        "LIVEKIT_API_KEY": keys["api_key"],
        "LIVEKIT_API_SECRET": keys["api_secret"],
        "LIVEKIT_AGENT_NAME": SHARED_NAME,
        "AGENT_NAME": SHARED_NAME,
        "SIDEKICK_LOAD": "0",
        "SIDEKICK_LOAD_THRESHOLD": "inf",
    }
    service = {"image": image, "environment": environment, "restart": "unless-stopped", "stop_grace_period": "30s"}
    document = json.dumps({"name": "somebody-else", "services": {"agent": service}}, indent=2)
    daemon = json.dumps({"insecure-registries": [image.split("/")[0]]})
    script = (
        "set -e; mkdir -p /srv/somebody-else; cd /srv/somebody-else; "
        'printf "%s" "$1" >/etc/docker/daemon.json; umask 077; printf "%s" "$2" >compose.yml; '
        "systemctl reload docker; docker compose up -d --quiet-pull"
    )
    docker("exec", f"{PREFIX}-{name}", "sh", "-c", script, "sh", daemon, document)


def other_is_running(name: str) -> bool:
    argv = [
        "docker",
        "exec",
        f"{PREFIX}-{name}",
        "docker",
        "ps",
        "-q",
        "--filter",
        "label=com.docker.compose.project=somebody-else",
    ]
    return bool(run(as_root(argv), check=False).stdout.strip())


def other_worker(action: str) -> None:
    """Start or stop somebody else's worker, as its owner would; a started one is registered when this returns."""
    compose = ["exec", f"{PREFIX}-other-1", "docker", "compose", "--project-name", "somebody-else"]
    since = str(int(time.time()))
    docker(*compose, action)
    if action == "start":
        wait_until(
            "somebody else's worker is registered",
            lambda: "registered worker" in docker(*compose, "logs", "--since", since, "agent", check=False),
            60,
        )


# --- commands ---------------------------------------------------------------------------------------------------


def prepare() -> tuple[str, ipaddress.IPv4Network]:
    said = run(["bash", str(LAB / "bootstrap"), "docker"]).stdout
    print(said, end="", file=sys.stderr, flush=True)
    replace_other_checkout()
    ssh_key()
    return derived_image("host", base_image()), network()


def up(count: int) -> None:
    started = time.monotonic()
    host_image, net = prepare()
    hosts, other = [f"staging-{n}" for n in range(1, count + 1)], "other-1"
    for surplus in sorted(name for name in host_containers() if name.startswith("staging-") and name not in hosts):
        say(f"{surplus}: not wanted any more, removing it")
        host_down([surplus])
    tags = application_images()
    livekit(net, host_image)
    address = registry(net)
    private = private_registry(net)
    images = {service: push(tag, f"sidekick-{service}") for service, tag in tags.items()}
    other_image = derived_image("host-docker", host_image)
    for name in hosts:
        host(name, host_image)
    host(other, other_image)
    if not other_is_running(other):
        image = f"{address}/{images['worker']}"
        timed("starting somebody else's worker under the shared name", other_deployment, other, image)
    write_ssh_files()
    write_lab_json(hosts, other, address, private, net)
    document = inventory_document(hosts, images, address)
    write_if_changed(STATE / "inventory/hosts.yml", json.dumps(document, indent=2) + "\n")
    write_if_changed(STATE / "inventory-incident/hosts.yml", json.dumps(incident_document(document), indent=2) + "\n")
    write_more_inventories(other, net)
    say(f"ready in {time.monotonic() - started:.1f} s: {', '.join(hosts)}, {other}; see build/lab.json")


def host_up(names: list[str]) -> None:
    host_image, _net = prepare()
    for name in names:
        host(name, host_image)
    write_ssh_files()
    everyone = host_containers()
    print(json.dumps([{"name": name, "address": address_of(everyone[name])} for name in names]))


def host_down(names: list[str]) -> None:
    for name in names:
        docker("rm", "-f", "-v", f"{PREFIX}-{name}", check=False)
        docker("volume", "rm", "-f", f"{PREFIX}-{name}-docker", check=False)
    write_ssh_files()


def down() -> None:
    count = remove(str(ROOT))
    shutil.rmtree(STATE, ignore_errors=True)
    (BUILD / "lab.json").unlink(missing_ok=True)
    say(f"removed {count} containers, networks and volumes; built parts stay in the cache (lab.py purge removes them)")


def purge() -> None:
    down()
    left = -1
    # An image goes only after those that were built on it, so ask again while it helps.
    while len(images := set(docker("images", "-q", "--filter", f"label={LABEL}=image").split())) not in (0, left):
        left = len(images)
        docker("rmi", "-f", *images, check=False)
    shutil.rmtree(CACHE, ignore_errors=True)
    say("removed the cached images and files")


def tell_server() -> None:
    print(livekit_binary())


def tell_frontdesk() -> None:
    print(push(frontdesk_image(), "frontdesk"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up").add_argument("--hosts", type=int, default=2)
    for name in ("down", "purge", "server", "frontdesk"):
        commands.add_parser(name)
    commands.add_parser("other").add_argument("action", choices=["start", "stop"])
    for name in ("host-up", "host-down"):
        commands.add_parser(name).add_argument("names", nargs="+")
    args = parser.parse_args()
    try:
        match args.command:
            case "up":
                up(args.hosts)
            case "other":
                other_worker(args.action)
            case "host-up":
                host_up(args.names)
            case "host-down":
                host_down(args.names)
            case command:
                {"down": down, "purge": purge, "server": tell_server, "frontdesk": tell_frontdesk}[command]()
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
