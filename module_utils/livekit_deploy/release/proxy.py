# SPDX-License-Identifier: Apache-2.0
"""The proxy's part of a release: the include file that names the serving API, and how nginx loads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..machine import nginx
from ..machine.command import TOO_LATE, Run
from .errors import ReleaseError


def upstream_text(app: str, port: int | None) -> str:
    """The proxy's include: where the API of the serving release listens; None before the first release."""
    # nginx wants at least one server; `down` makes it answer 502 until there is a release.
    server = f"127.0.0.1:{port}" if port else "127.0.0.1:9 down"
    return f"upstream {app} {{\n    server {server};\n}}\n"


def test_proxy(run: Run) -> str | None:
    """What nginx refuses of its configuration as it is on disk, certificates included; None where it accepts it."""
    return command_failure(run, "nginx", "-t", "-q")


def reload_proxy(run: Run) -> str | None:
    """Test nginx's configuration and reload it, never restart it; what it refused, or None."""
    return test_proxy(run) or command_failure(run, "systemctl", "reload", "nginx")


@contextmanager
def to_be_loaded(upstream: Path) -> Iterator[None]:
    """Change files of nginx and reload it: until both are done a mark says that nginx may have other files loaded than
    are there."""
    mark = load_mark(upstream)
    mark.parent.mkdir(mode=0o755, exist_ok=True)
    mark.touch(0o600)
    yield
    mark.unlink(missing_ok=True)


def load_mark(upstream: Path) -> Path:
    return upstream.with_name(f".{upstream.name}.unloaded")


def proxy_runs(run: Run) -> bool:
    """Whether nginx runs; one that is not there, or is stopped, has nothing to reload. A systemd that does not answer
    says neither."""
    status, _out, err = run(["systemctl", "is-active", "--quiet", "nginx"])
    if status == TOO_LATE:
        look = "Look at systemd (systemctl status nginx), then run it again"
        raise ReleaseError(f"found: {err}, expected whether nginx runs. {look}")
    return status == 0


def command_failure(run: Run, *argv: str) -> str | None:
    """What a command that failed says."""
    status, out, err = run(argv)
    return f"`{' '.join(argv)}` says: {nginx.short_refusal(err or out)}" if status != 0 else None


def site_path(app: str) -> str:
    return f"/etc/nginx/conf.d/livekit-agent-deploy-{app}.conf"


def upstream_path(app: str) -> str:
    return f"/etc/nginx/livekit-agent-deploy/{app}.upstream.conf"


def drop_empty(directories: Iterable[Path]) -> None:
    for path in directories:
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
