#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: what the fleet serves, as a table and a document."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.fleet.remembered import VERDICTS, remembered_verdicts
from ansible.module_utils.livekit_deploy.fleet.status import status_document
from ansible.module_utils.livekit_deploy.fleet.status_text import status_lines
from ansible.module_utils.livekit_deploy.fleet.types import VerdictEntry

DOCUMENTATION = r"""
---
module: deployment_status_info
short_description: Tell what every host of the fleet serves
description:
  - Joins what M(agent_release_info) read on each host with the last verdict of each host that this controller
    remembers.
  - Hands one line for each host, and the document C(status.json), to the report callback. Never fails because of what
    it finds.
  - Runs on the controller. Only reads, so it is the same in check mode.
author: ["livekit-agent-deploy contributors"]
options:
  hosts:
    description:
      - What is known of each host, by inventory name.
      - "C(agent_name) and C(pool): what should be. C(evidence): the result of M(agent_release_info), empty when there
        is none."
      - "C(unread): why the host could not be read; C(unreachable): SSH did not get there."
    type: dict
    required: true
  reports:
    description: Directory of the reports, with the C(verdicts.json) that the report callback keeps.
    type: path
    required: true
attributes:
  check_mode:
    support: full
    description: Reads only.
"""

EXAMPLES = r"""
- name: Tell what the fleet serves
  deployment_status_info:
    hosts: "{{ hostvars | livekit_fleet(ansible_play_hosts_all) }}"
    reports: build/reports
  delegate_to: localhost
  run_once: true
  register: __status
"""

RETURN = r"""
hosts:
  description: A row for each host, by inventory name.
  type: dict
  returned: success
  contains:
    agent_name: {description: "Agent name in the inventory, or the one the host was rolled back to.", type: str}
    rolled_back: {description: "How the release is not what the inventory says, on purpose; null where it is.",
      type: dict}
    pool: {description: "Pool in the inventory, the host itself where none is set.", type: str}
    state: {description: "V(serving), V(no release), V(not provisioned), V(unreachable) or V(unread).", type: str}
    reason: {description: Why nothing could be read or what is missing., type: str}
    release: {description: Release that serves., type: str}
    served_since: {description: Since when it does., type: str}
    worker_id: {description: Id of its worker., type: str}
    worker_ids: {description: "Ids of all running workers of this application, also of those that drain.", type: list,
      elements: str}
    since: {description: Since when its worker has been registered., type: str}
    jobs: {description: Jobs that it has., type: int}
    load: {description: Its load., type: float}
    sdk_version: {description: Its version of livekit-agents., type: str}
    draining: {description: "Workers of older releases, with C(release), C(worker_id) and C(active_jobs).", type: list,
      elements: dict}
    drift: {description: What differs between record and host., type: list, elements: str}
    unfinished: {description: Releases that a killed run left., type: list, elements: str}
    verdict: {description: "The last verdict, as it was remembered, with C(age_seconds); none when there is none.",
      type: dict}
    notes: {description: What a person should know of this host., type: list, elements: str}
report_documents:
  description: C(status.json), for the report callback.
  type: dict
  returned: success
report_lines:
  description: The table, for the report callback.
  type: list
  elements: str
  returned: success
"""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "hosts": {"type": "dict", "required": True},
    "reports": {"type": "path", "required": True},
}


def earlier_verdicts(directory: str) -> tuple[dict[str, VerdictEntry], list[str]]:
    """Return the verdicts of earlier runs, and what is wrong with their file."""
    path = Path(directory) / VERDICTS
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
    except OSError as error:
        found = f"found: {path.name} cannot be read ({error.strerror}), so no verdict is shown"
        return {}, [f"{found}. Expected: a file of this user's"]
    known, failure = remembered_verdicts(text)
    remedy = "Expected: verdicts by host. The next verify.yml writes it anew"
    return known, [f"found in {path.name}: {failure}. {remedy}"] if failure else []


@guarded
def main() -> None:
    module = Module(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        verdicts, failures = earlier_verdicts(module.params["reports"])
        document = status_document(module.params["hosts"], verdicts, time.time())
        shown = [*status_lines(document), *failures]
    except Exception as error:
        module.fail_json(msg=f"unexpected {type(error).__name__}: {error}")
    module.exit_json(
        changed=False, hosts=document["hosts"], report_documents={"status.json": document}, report_lines=shown
    )


if __name__ == "__main__":
    main()
