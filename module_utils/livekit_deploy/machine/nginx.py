# SPDX-License-Identifier: Apache-2.0
"""What nginx says and what its hosts are like, as sentences. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Debian's package has a site of its own there.
PACKAGED_PORT = 80
NOT_INSTALLED = (
    "found: no nginx on this host, expected one. Run playbooks/provision.yml, which installs it, or install your own "
    "where api_proxy_manage is false"
)
# What nginx says, and what to do then.
REMEDIES = (
    (
        re.compile(r"cannot load certificate|PEM_read_bio|SSL_CTX_use|no \"ssl_certificate\""),
        "Put the certificate and its key at the paths that nginx names, and run again",
    ),
    (
        re.compile(r"duplicate upstream"),
        (
            "A site of yours includes the upstream too: remove its include, "
            "or set api_proxy_manage: false and run playbooks/provision.yml"
        ),
    ),
    (re.compile(r"is not active|not running|nginx\.pid"), "Start nginx (systemctl start nginx) and run again"),
)
ELSE = "Repair what it names, see that `nginx -t` passes, and run again"


def short_refusal(said: str) -> str:
    """nginx's own words in one line, without their time and process and without the conclusion."""
    lines = [
        re.sub(r"^(\d{4}/\S+ \S+ |nginx: )?\[(\w+)\] (\d+#\d+: )?", "", line.strip()) for line in said.splitlines()
    ]
    told = [line for line in lines if line and not re.search(r"configuration file \S+ test failed$", line)]
    return "; ".join(dict.fromkeys(told)).rstrip(".")


def nginx_remedy(said: str) -> str:
    return next((text for pattern, text in REMEDIES if pattern.search(said)), ELSE)


def broken(said: str) -> str:
    """nginx does not accept the configuration that is there before anything of ours is changed."""
    return (
        f"found: nginx refuses the configuration that is on this host already: {said}. Expected: one that passes "
        f"`nginx -t`. Nothing was changed, and nginx serves on with what it has loaded. {nginx_remedy(said)}"
    )


def refused(said: str, still: str | None, what: str) -> str:
    """nginx did not accept ``what``, which was taken back; ``still`` is what it says of the files as they were."""
    if still:
        return broken(still)
    return f"found: {said}. Expected: nginx accepts {what}; the files are as they were before. {nginx_remedy(said)}"


def port_problems(taken: Mapping[str, tuple[int, str]], packaged: str) -> list[str]:
    """Ports of the site that somebody else has, as variable -> (port, who); ``packaged`` is who has the port that the
    package's own site wants, where nginx is not installed yet.
    """
    problems = [
        f"found: {who} listens on port {port}, expected nginx or nobody. Stop it, or set {variable} to another port"
        for variable, (port, who) in taken.items()
        if who
    ]
    if packaged and PACKAGED_PORT not in {port for port, _ in taken.values()}:
        problems.append(
            f"found: {packaged} listens on port {PACKAGED_PORT}, expected nobody while nginx is installed: the site "
            "that comes with its package wants that port, and nginx would not start. Stop it meanwhile, or install "
            "nginx first, without that site (/etc/nginx/sites-enabled/default)"
        )
    return problems


def includes(dump: str, path: str) -> bool:
    """Whether the configuration that `nginx -T` prints has a file."""
    return f"# configuration file {path}:" in dump


def not_included(app: str, path: str) -> str:
    return (
        f"no site of nginx uses the upstream of {app} yet: put `include {path};` into its http part, and `proxy_pass "
        f"http://{app};` into a site"
    )
