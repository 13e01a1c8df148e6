#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: why does a worker get no jobs? From what was read of hosts and server to causes, texts, documents."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: livekit_diagnosis_info
short_description: Decide why workers get no jobs, from what was read of hosts and server
description:
  - Asks the LiveKit server for its SIP dispatch rules and, for dispatches that no worker's log has, who is in their
    rooms. Then decides by a table of causes, most probable first, each with evidence, remedy, test and way back.
  - It never fails for what it finds. What could not be read, also an option that is left empty, rules nothing out and
    is listed.
  - Changes nothing; the same in check mode.
  - Runs on the controller, which needs the Python package C(livekit-api).
requirements: [livekit-api >= 1.0]
options:
  hosts:
    description:
      - What is known of each host, by inventory name, with C(agent_name), C(pool), C(livekit_url), C(shared_name),
        C(app) and C(address) of the inventory.
      - "C(group): V(agent_hosts), or V(suspects) for a host that was only searched for workers."
      - "C(evidence): the result of M(agent_diagnosis_info), of a suspect that of M(livekit_worker_info)."
      - "C(witness): workers read after the probes."
      - "C(unread): why the host could not be read; empty when it was."
    type: dict
    required: true
  probes:
    description: "RV(livekit_dispatch#module:probes); empty when none were sent."
    type: dict
    default: {}
  verdicts:
    description: "RV(deployment_verdict_info#module:report); empty when nothing was proven."
    type: dict
    default: {}
  server:
    description: The result of M(livekit_server_info), also of one that failed.
    type: dict
    default: {}
  server_logs:
    description: Results of M(livekit_server_log_info), each with C(host).
    type: list
    elements: dict
    default: []
  not_proven:
    description: Why probes or verdicts are missing, one sentence each.
    type: list
    elements: str
    default: []
  inventory_problems:
    description: What is wrong with the inventory, one sentence each.
    type: list
    elements: str
    default: []
  url:
    description: Address of the server. Without it the server is not asked.
    type: str
    default: ""
  api_key:
    description: API key.
    type: str
    default: ""
  api_secret:
    description: Secret of the API key.
    type: str
    default: ""
  timeout_seconds:
    description: How long all questions to the server may take together.
    type: float
    default: 5.0
extends_documentation_fragment: [livekit_deploy.playbooks, livekit_deploy.reads]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Find the causes, most probable first
  livekit_diagnosis_info:
    hosts:
      node-a:
        agent_name: support-a
        pool: node-a
        livekit_url: wss://livekit.example.com
        group: agent_hosts
        evidence: "{{ __node_a }}"
        unread: ""
    probes: "{{ __probes.probes }}"
    verdicts: "{{ __verdict.report }}"
    server: "{{ __server }}"
    url: wss://livekit.example.com
    api_key: "{{ livekit_api_key }}"
    api_secret: "{{ livekit_api_secret }}"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
report_documents:
  description:
    - C(diagnose.json) and C(diagnose.md), as the callback plugin writes them. The first one has, by host in C(hosts),
      C(outcome), which is V(cause), V(possible) (nothing is certain), V(nothing_wrong), V(no_cause_found) or
      V(not_read), and C(summary), a sentence;
    - C(causes), the most probable first, each with C(id), C(title), C(certain), C(evidence_for), C(against), C(remedy),
      C(test) and C(rollback); C(ruled_out) and C(unknown), the others with what ruled them out and what is missing;
    - "C(flow): requests the proxy saw, dispatches the API logged, and the workers that got them."
    - C(timeline), C(not_read), C(inventory) and C(sip) are of the whole run; C(ok) is true when nothing is wrong on any
      host.
  returned: success
  type: dict
report_lines:
  description: The answer for the terminal.
  returned: success
  type: list
  elements: str
waits:
  description: What was waited for, and the seconds.
  returned: success
  type: list
  elements: dict
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, cast

from ansible.module_utils.basic import missing_required_lib
from ansible.module_utils.livekit_deploy.common import commands
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.diagnosis import decide, text
from ansible.module_utils.livekit_deploy.diagnosis.flow import destination
from ansible.module_utils.livekit_deploy.diagnosis.moments import epoch_seconds, utc
from ansible.module_utils.livekit_deploy.diagnosis.types import Diagnosis, SipReading
from ansible.module_utils.livekit_deploy.diagnosis.world import World
from ansible.module_utils.livekit_deploy.livekit import client
from ansible.module_utils.livekit_deploy.livekit.errors import LiveKitError, shown_url

ARGUMENT_SPEC: dict[str, Any] = {
    "hosts": {"type": "dict", "required": True},
    "probes": {"type": "dict", "default": {}},
    "verdicts": {"type": "dict", "default": {}},
    "server": {"type": "dict", "default": {}},
    "server_logs": {"type": "list", "elements": "dict", "default": []},
    "not_proven": {"type": "list", "elements": "str", "default": []},
    "inventory_problems": {"type": "list", "elements": "str", "default": []},
    "playbooks": commands.OPTION,
    "url": {"type": "str", "default": ""},
    "api_key": {"type": "str", "default": "", "no_log": False},
    "api_secret": {"type": "str", "default": "", "no_log": True},
    "timeout_seconds": {"type": "float", "default": 5.0},
}
Answer = dict[str, Any]  # what a server answers and what the user gives, before it is looked at
OF_HOSTS = ("probes", "verdicts", "server", "server_logs")
ROOMS_ASKED = 20
NOT_ASKED = "the server was not asked, because it did not answer or does not accept the key"


def untraced_rooms(world: World) -> list[str]:
    """Return the rooms of dispatches that no log of a worker has, the newest first."""
    sent = [(host, dispatch) for host in world.agent_hosts for dispatch in host.dispatches if dispatch.get("room")]
    lost = [dispatch for host, dispatch in sent if destination(host, dispatch) is None]
    newest = sorted(lost, key=lambda dispatch: epoch_seconds(dispatch.get("time")) or 0.0, reverse=True)
    return list(dict.fromkeys(str(dispatch["room"]) for dispatch in newest))


async def ask_sip(connection: client.Connection) -> Answer:
    return {"checked": True, "rules": await connection.sip_dispatch_rules()}


async def ask_rooms(connection: client.Connection, wanted: list[str]) -> Answer:
    """Return dispatches of those rooms that still live. One that ends meanwhile answers an error: it is left out."""
    if not wanted:
        return {}
    living = set(await client.retried(connection.rooms))
    rooms = [room for room in wanted if room in living][:ROOMS_ASKED]
    answers = await asyncio.gather(*(connection.list_dispatch(room) for room in rooms), return_exceptions=True)
    return {room: answer for room, answer in zip(rooms, answers, strict=True) if isinstance(answer, list)}


async def answer_within(seconds: float, question: Awaitable[Answer]) -> tuple[Answer, str]:
    """Return the answer, or why there is none."""
    try:
        return await asyncio.wait_for(question, seconds), ""
    except TimeoutError:
        return {}, f"no answer within {seconds:g} s"
    except LiveKitError as error:
        return {}, error.found


async def ask_server(params: Answer, wanted: list[str]) -> tuple[SipReading, Answer, list[str]]:
    """Return SIP rules, rooms, and what could not be read of the rooms; both are asked at the same time."""
    limit = params["timeout_seconds"]
    # The questions have their own end; the connection's must not come first.
    async with client.connect(params["url"], params["api_key"], params["api_secret"], 2 * limit) as connection:
        questions = ask_sip(connection), ask_rooms(connection, wanted)
        (sip, no_sip), (rooms, no_rooms) = await asyncio.gather(*(answer_within(limit, one) for one in questions))
    unread = [f"the rooms of {len(wanted)} dispatches that no log has: {no_rooms}"] if no_rooms else []
    not_asked: SipReading = {"checked": False, "reason": no_sip}
    return cast(SipReading, sip) or not_asked, rooms, unread


def whole_diagnosis(params: Answer) -> Diagnosis:
    given = {name: params[name] for name in OF_HOSTS}
    sip: SipReading = {"checked": False, "reason": NOT_ASKED}
    rooms: Answer = {}
    unread: list[str] = []
    if params["url"] and params["server"].get("key_accepted"):
        sip, rooms, unread = asyncio.run(ask_server(params, untraced_rooms(World(params["hosts"], **given))))
    playbooks = commands.Playbooks.of(params["playbooks"])
    answer = decide.diagnose(World(params["hosts"], sip=sip, rooms=rooms, **given), playbooks)
    answer["not_read"] += [*params["not_proven"], *unread]
    addresses = [params["url"], *(host.get("livekit_url") for host in params["hosts"].values())]
    shown = next((shown_url(str(address)) for address in addresses if address), "not known")
    return {"at": utc(time.time()), "server": shown, "inventory": params["inventory_problems"], "sip": sip, **answer}


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    if client.IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("livekit-api"))
    started = time.monotonic()
    try:
        answer = whole_diagnosis(module.params)
        documents = {"diagnose.json": answer, "diagnose.md": text.markdown(answer)}
        lines = text.report_lines(answer)
    except Exception as error:
        module.fail_json(msg=f"unexpected {type(error).__name__}: {error}")
    waits = [{"what": "questions to the LiveKit server", "seconds": round(time.monotonic() - started, 1)}]
    module.exit_json(changed=False, report_documents=documents, report_lines=lines, waits=waits)


if __name__ == "__main__":
    main()
