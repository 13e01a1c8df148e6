#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Write the inventory entry of a new host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inventory_entry
short_description: Write the inventory entry of a new host
description:
  - Proposes an agent name that no host of the inventory has, not even but for case, and no pool as its shared name.
  - Refuses to overwrite a host, to enter one twice, and names that Ansible or YAML would read as something else.
  - Adds the host as the last of its group; everything else in the file stays as it is, comments included.
  - Runs on the controller, which needs PyYAML, as ansible-core does.
options:
  path: {description: The inventory file to write, which is YAML., type: path, required: true}
  host: {description: Name of the new host., type: str, required: true}
  address: {description: Address or name where it is reached over SSH., type: str, required: true}
  user: {description: User of the first login where it is another than that of the group., type: str}
  port: {description: Port of SSH where it is not the usual one., type: int}
  agent_name: {description: Its agent name; proposed where it is not given., type: str}
  app: {description: Name of the application; that of the other hosts where it is not given., type: str}
  group: {description: The group to enter it into., type: str, default: agent_hosts}
  known:
    description: The agent hosts that there are, as the filter C(livekit_known_hosts) tells.
    type: list
    elements: dict
    default: []
    suboptions:
      host: {description: Name., type: str, required: true}
      address: {description: Address., type: str, default: ""}
      agent_name: {description: Agent name., type: str, default: ""}
      shared_name: {description: Name that it can be rolled back to., type: str, default: ""}
      app: {description: Application., type: str, default: ""}
  taken: {description: Names of all hosts and groups of the inventory., type: list, elements: str, default: []}
extends_documentation_fragment: [livekit_deploy.playbooks]
attributes:
  check_mode:
    description: Decides and shows, and does not write.
    support: full
  diff_mode:
    description: Shows the file before and after.
    support: full
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Write the entry
  inventory_entry:
    path: inventory/staging/hosts.yml
    host: staging-03
    address: 10.0.0.13
    known: "{{ hostvars | livekit_known_hosts(groups['agent_hosts']) }}"
"""

RETURN = r"""
path:
  description: The file.
  returned: always
  type: str
entry:
  description: The variables of the new host.
  returned: always
  type: dict
report_lines:
  description: What is shown at the end of the run, with the two commands that come next.
  returned: always
  type: list
  elements: str
report_documents:
  description: The same for machines.
  returned: always
  type: dict
"""

import os
import shlex
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.livekit_deploy.common import commands
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.inventory import new_host

ARGUMENT_SPEC: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "host": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "user": {"type": "str"},
    "port": {"type": "int"},
    "agent_name": {"type": "str"},
    "app": {"type": "str"},
    "group": {"type": "str", "default": "agent_hosts"},
    "known": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "host": {"type": "str", "required": True},
            "address": {"type": "str", "default": ""},
            "agent_name": {"type": "str", "default": ""},
            "shared_name": {"type": "str", "default": ""},
            "app": {"type": "str", "default": ""},
        },
    },
    "taken": {"type": "list", "elements": "str", "default": []},
    "playbooks": commands.OPTION,
}


def inventory_text(path: Path) -> str:
    """Return the text of the inventory file, or refuse the file."""
    wanted = "Name a YAML file: -e new_inventory=inventory/<yours>/hosts.yml"
    if path.is_dir() or path.suffix not in (".yml", ".yaml"):
        what = "a directory" if path.is_dir() else "no YAML file by its name"
        raise new_host.EntryError(f"found {path}, {what}, expected the inventory file to write. {wanted}")
    if not path.exists():
        raise new_host.EntryError(
            f"found no {path}, expected the inventory file to write. Copy inventory/example first. {wanted}"
        )
    text = path.read_bytes().decode("utf-8")
    if text.startswith("$ANSIBLE_VAULT"):
        raise new_host.EntryError(f"found {path} encrypted, expected a file with secrets in others only. {wanted}")
    return text


def write_inventory(path: Path, text: str) -> None:
    """Replace the file whole, with the mode and the owner that it has."""
    path = path.resolve()
    status = path.stat()
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, status.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.fchown(handle, status.st_uid, status.st_gid)
            file.write(text.encode("utf-8"))
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def entry_lines(p: Any, entry: new_host.Values, check: bool) -> list[str]:
    host, address = p["host"], shlex.quote(str(entry["ansible_host"]))
    scan = f"ssh-keyscan{' -p ' + str(entry['ansible_port']) if 'ansible_port' in entry else ''} {address}"
    playbooks = commands.Playbooks([p["path"]], commands.Playbooks.of(p["playbooks"]).root)
    return [
        f"{host} {'would be' if check else 'is'} entered into {p['path']} as {entry['livekit_agent_name']}.",
        "Next, compare the fingerprint of its host key with the one that its console or its provider shows; "
        "if it is the same, keep the key:",
        f"  {scan} 2>/dev/null | ssh-keygen -lf -",
        f"  {scan} 2>/dev/null >>~/.ssh/known_hosts",
        (
            "Then make it ready and deploy to it; "
            "no other host is touched (-J asks for the vault's password, -K for sudo's):"
        ),
        f"  {playbooks.start('add_host.yml', '-J', limit=host)}",
    ]


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    p = module.params
    path = Path(p["path"])
    optional = {"user": p["user"] or "", "port": p["port"], "agent_name": p["agent_name"] or "", "app": p["app"] or ""}
    wanted = new_host.Wanted(p["host"], p["address"], **optional)
    try:
        before = inventory_text(path)
        entry = new_host.entry(wanted, [new_host.Known(**known) for known in p["known"]], p["taken"])
        after = new_host.inserted(before, p["group"], p["host"], entry)
        if not module.check_mode:
            write_inventory(path, after)
    except new_host.EntryError as error:
        module.fail_json(msg=f"{error}" if str(path) in str(error) or "new_" in str(error) else f"{path}: {error}")
    except OSError as error:
        expected = "expected a file of yours. Correct its owner or mode"
        module.fail_json(msg=f"found: {path} cannot be written ({error.strerror}), {expected}")
    document = {"new_host.json": {"ok": True, "host": p["host"], "path": p["path"], "entry": entry}}
    module.exit_json(
        changed=True,
        path=p["path"],
        entry=entry,
        diff={"before": before, "after": after, "before_header": p["path"], "after_header": p["path"]},
        report_lines=entry_lines(p, entry, module.check_mode),
        report_documents=document,
    )


if __name__ == "__main__":
    main()
