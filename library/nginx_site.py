#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Converge the nginx site of an application."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_site
short_description: Write or remove the nginx site of an application, test it and reload
description:
  - Writes one site file of ours and, where there is none yet, the include with its upstream. Other sites are left
    alone.
  - The certificate of the site is looked at first. One that is not there, not readable, of another key or out of date
    is refused.
  - The configuration is tested before nginx reloads it; when nginx refuses it, the files are put back as they were. A
    configuration that nginx would not accept without our change either is said to be so.
options:
  app:
    description: Name of the application; names the upstream and both files.
    type: str
    required: true
  state:
    description:
      - V(present) is our site and its upstream.
      - V(upstream) is the upstream only, for a site that somebody else writes; ours is removed.
      - V(absent) is neither. nginx need not be installed.
    type: str
    choices: [present, upstream, absent]
    default: present
  site:
    description: Text of the site file, for V(present).
    type: str
    default: ""
  server_name:
    description: Names of the site, to be compared with those of the certificate.
    type: str
    default: ""
  certificate:
    description: Path of the certificate that the site uses, for V(present). Empty where it uses none.
    type: str
    default: ""
  certificate_key:
    description: Path of its key.
    type: str
    default: ""
  instance_host:
    description: The host's name in the inventory, for RV(report_notes).
    type: str
    default: ""
attributes:
  check_mode:
    description: Says whether the files would change and does not write them.
    support: full
  diff_mode:
    description: Shows the site file before and after.
    support: full
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Write the site
  nginx_site:
    app: sidekick
    site: "{{ lookup('ansible.builtin.template', 'site.conf.j2') }}"

- name: Remove the site
  nginx_site:
    app: sidekick
    state: absent
"""

RETURN = r"""
path:
  description: The site file.
  returned: always
  type: str
report_notes:
  description: What the user is told at the end of the run, such as a certificate that ends soon.
  returned: success
  type: list
  elements: str
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.common.files import read_text, write_atomically
from ansible.module_utils.livekit_deploy.machine import certificate, nginx
from ansible.module_utils.livekit_deploy.machine.command import Run, Runner
from ansible.module_utils.livekit_deploy.release.errors import ReleaseError
from ansible.module_utils.livekit_deploy.release.proxy import (
    drop_empty,
    load_mark,
    proxy_runs,
    reload_proxy,
    site_path,
    test_proxy,
    to_be_loaded,
    upstream_path,
    upstream_text,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "upstream", "absent"], "default": "present"},
    "site": {"type": "str", "default": ""},
    "server_name": {"type": "str", "default": ""},
    "certificate": {"type": "str", "default": ""},
    "certificate_key": {"type": "str", "default": ""},
    "instance_host": {"type": "str", "default": ""},
}
# All that is run, where nginx or systemd does not answer.
TOTAL_SECONDS = 300.0
Params = dict[str, Any]
Texts = Mapping[Path, "str | None"]


def wanted_files(p: Params, before: Texts, site: Path, upstream: Path) -> Texts:
    """Both files as they are to be; an upstream that is there is the releases' to write."""
    if p["state"] == "absent":
        return {site: None, upstream: None}
    kept = before[upstream] if before[upstream] is not None else upstream_text(p["app"], None)
    return {site: p["site"] if p["state"] == "present" else None, upstream: kept}


def put(texts: Texts) -> None:
    for path, text in texts.items():
        if text is None:
            path.unlink(missing_ok=True)
        elif read_text(path) != text:
            path.parent.mkdir(mode=0o755, exist_ok=True)
            write_atomically(path, text, 0o644)


def converge(run: Run, before: Texts, after: Texts, what: str, upstream: Path) -> str:
    """Write the files and let nginx use them; why not, with the files as they were, else empty."""
    # An upstream that stays is not written, not even as it was read: a release may have switched it since.
    changed = {path: text for path, text in after.items() if text != before[path]}
    with to_be_loaded(upstream):
        put(changed)
        refused = reload_proxy(run) if any(after.values()) else forgotten(run)
        if refused:
            put({path: before[path] for path in changed})
    drop_empty([upstream.parent])
    return nginx.refused(refused, test_proxy(run), what) if refused else ""


def converged(run: Run, before: Texts, after: Texts, *, site: Path, upstream: Path) -> str:
    """Write and load what is not loaded yet; say why that is refused, or nothing.

    Also where a run was killed before its reload: the files are as they are to be, and nginx has others loaded.
    """
    if before == after and not load_mark(upstream).exists():
        return ""
    try:
        return converge(run, before, after, f"{site} and {upstream}", upstream=upstream)
    except ReleaseError as error:
        return str(error)


def forgotten(run: Run) -> str | None:
    """After a removal nginx has nothing to serve of ours: one that is not there, or is stopped, need not be asked."""
    return reload_proxy(run) if proxy_runs(run) else None


def site_notes(run: Run, p: Params, check_mode: bool) -> list[str]:
    if p["state"] != "present" or not (p["certificate"] or p["certificate_key"]):
        return []
    if check_mode and run(["openssl", "version"])[0] != 0:
        return ["its certificate is not looked at in a check run: openssl is not installed yet"]
    found, path, now = (
        certificate.read_certificate(run, p["certificate"], p["certificate_key"]),
        p["certificate"],
        time.time(),
    )
    certificate.refuse_dates(found, path, now)
    return certificate.certificate_notes(found, path, p["server_name"].split(), now)


def upstream_notes(run: Run, p: Params, upstream: Path) -> list[str]:
    status, dump, _ = run(["nginx", "-T", "-q"]) if p["state"] == "upstream" else (1, "", "")
    return [] if status != 0 or nginx.includes(dump, str(upstream)) else [nginx.not_included(p["app"], str(upstream))]


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    p, run = module.params, Runner(total_seconds=TOTAL_SECONDS)
    site, upstream = Path(site_path(p["app"])), Path(upstream_path(p["app"]))
    before: Texts = {path: read_text(path) for path in (site, upstream)}
    after = wanted_files(p, before, site, upstream)
    result = {
        "changed": before != after,
        "path": str(site),
        "diff": {"before": before[site] or "", "after": after[site] or ""},
    }
    if p["state"] != "absent" and not module.check_mode and run(["nginx", "-v"])[0] != 0:
        module.fail_json(msg=nginx.NOT_INSTALLED)
    try:
        notes = site_notes(run, p, module.check_mode)
    except certificate.CertificateError as error:
        module.fail_json(msg=str(error))
    if not module.check_mode:
        if refused := converged(run, before, after, site=site, upstream=upstream):
            module.fail_json(msg=refused)
        notes += upstream_notes(run, p, upstream)
    module.exit_json(**result, report_notes=[f"{p['instance_host']}: {note}".removeprefix(": ") for note in notes])


if __name__ == "__main__":
    main()
