#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: what became of an agent name after hosts were given another, and who gets jobs of a shared one."""

from __future__ import annotations

import asyncio
from typing import Any

from ansible.module_utils.basic import missing_required_lib
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.diagnosis.types import SipReading
from ansible.module_utils.livekit_deploy.livekit import client, dispatch, probe
from ansible.module_utils.livekit_deploy.livekit.errors import LiveKitError
from ansible.module_utils.livekit_deploy.names import rename

DOCUMENTATION = r"""
---
module: livekit_rename_info
short_description: Tell what became of a former agent name, and the shares of a shared one
description:
  - Sends one probe to each name that hosts no longer serve, and spaced ones to each name that is shared on purpose, all
    at the same time, and reads the SIP dispatch rules. A worker with the probe hook answers without a job; the job of
    any other is ended at once.
  - Nobody within 10 s means that dispatches to the name are lost (livekit-server 1.13.5, measured).
  - Runs on the controller, which needs the Python package C(livekit-api).
requirements: [livekit-api >= 1.0]
author: ["livekit-agent-deploy contributors"]
options:
  url: {description: Address of the server., type: str, required: true}
  api_key: {description: API key., type: str, required: true}
  api_secret: {description: Secret of the API key., type: str, required: true}
  changes:
    description: By host the C(changes) of the filter C(livekit_renames), C(before) (or none), C(now) and C(shared).
    type: dict
    required: true
  inventory:
    description: >-
      By host of the inventory its C(agent_name), its C(worker_ids), and in C(dispatches_to) by former name how its API
      is told of that dispatches to it, the C(inventory) of the filter C(livekit_renames).
    type: dict
    required: true
  samples: {description: How many probes go to a shared name., type: int, default: 20}
  spacing_seconds: {description: Time between them., type: float, default: 0.5}
  timeout_seconds: {description: How long to wait for a single answer of the server., type: float, default: 5.0}
attributes:
  check_mode:
    support: full
    description: Sends nothing and tells nothing of what became; warns of each API that dispatches to a name that is
      about to be left.
"""

EXAMPLES = r"""
- name: Tell what became of the former names
  livekit_rename_info:
    url: wss://livekit.example.com
    api_key: "{{ livekit_api_key }}"
    api_secret: "{{ livekit_api_secret }}"
    changes: {node-a: {before: support, now: support-a, shared: false}}
    inventory: {node-a: {agent_name: support-a, worker_ids: [], dispatches_to: {}}}
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
report_notes:
  description: What is shown at the end of the run.
  type: list
  elements: str
  returned: always
probes:
  description: What became of each probe, as M(livekit_dispatch) returns it.
  type: dict
  returned: always
waits:
  description: What the run had to wait for.
  type: list
  elements: dict
  returned: always
"""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True},
    "api_key": {"type": "str", "required": True, "no_log": False},
    "api_secret": {"type": "str", "required": True, "no_log": True},
    "changes": {"type": "dict", "required": True},
    "inventory": {"type": "dict", "required": True},
    "samples": {"type": "int", "default": 20},
    "spacing_seconds": {"type": "float", "default": 0.5},
    "timeout_seconds": {"type": "float", "default": 5.0},
}
WINDOW_SECONDS = 10.0


async def sip_rules(p: dict[str, Any]) -> SipReading:
    try:
        async with client.connect(p["url"], p["api_key"], p["api_secret"], p["timeout_seconds"]) as connection:
            rules: Any = await connection.sip_dispatch_rules()
            return {"checked": True, "rules": rules}
    except LiveKitError as error:
        return {"checked": False, "reason": error.found}


async def ask_names(p: dict[str, Any], specs: list[probe.ProbeSpec]) -> tuple[dict[str, Any], SipReading]:
    probes = dispatch.send(p["url"], p["api_key"], p["api_secret"], specs, timeout_seconds=p["timeout_seconds"])
    answers, sip = await asyncio.gather(probes, sip_rules(p))
    return answers, sip


@guarded
def main() -> None:
    module = Module(ARGUMENTS, supports_check_mode=True)
    if client.IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("livekit-api"))
    p = module.params
    if module.check_mode:
        for line in rename.rename_warnings(p["changes"], p["inventory"]):
            module.warn(line)
    if module.check_mode or not p["changes"]:
        module.exit_json(changed=False, report_notes=[], probes={}, waits=[])
    asked: Any = rename.questions(p["changes"], p["samples"], p["spacing_seconds"])
    specs = probe.probe_specs(asked, WINDOW_SECONDS)
    try:
        answers, sip = asyncio.run(ask_names(p, specs))
    except LiveKitError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    except Exception as error:
        module.fail_json(msg=f"unexpected {type(error).__name__}: {error}")
    notes = rename.rename_notes(p["changes"], p["inventory"], answers, sip)
    module.exit_json(
        changed=False, report_notes=notes, probes=answers, waits=probe.probe_waits(answers, WINDOW_SECONDS)
    )


if __name__ == "__main__":
    main()
