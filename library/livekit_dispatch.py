#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: send any number of probe dispatches at the same time and tell who took them."""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypedDict

from ansible.module_utils.basic import missing_required_lib
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.livekit import client, dispatch
from ansible.module_utils.livekit_deploy.livekit.errors import LiveKitError
from ansible.module_utils.livekit_deploy.livekit.probe import (
    Results,
    SentProbe,
    Wait,
    probe_refusals,
    probe_specs,
    probe_waits,
)

DOCUMENTATION = r"""
---
module: livekit_dispatch
short_description: Send dispatches to LiveKit agent names and tell which worker takes each
description:
  - Sends all probes at the same time and waits until each is answered, or until the server's search window has passed
    (no job 10 s after the dispatch was created means that it never comes; an open-source server does not try again).
  - Every probe has a room of its own with a name that is never used again.
    Dispatch, job and room are deleted at the end, also after an error.
    What cannot be deleted the server removes when the room has been empty for half a minute.
  - "C(changed) is always false: a probe leaves nothing."
  - A probe that fails never fails the module or other probes; look at RV(probes[].outcome).
  - To do other things meanwhile, send with O(leave), and run it again with O(collect) for the results. Nothing runs
    between the two.
  - In check mode nothing is sent and the results are empty, because a worker without the probe hook starts a real job.
  - Runs on the controller, which needs the Python package C(livekit-api).
requirements: [livekit-api >= 1.0]
author: ["livekit-agent-deploy contributors"]
options:
  url:
    description: Address of the server. C(ws://), C(wss://), C(http://) and C(https://) are accepted. Needed with
      O(probes) and O(collect).
    type: str
  api_key:
    description: API key. Needed with O(probes) and O(collect).
    type: str
  api_secret:
    description: Secret of the API key. Needed with O(probes) and O(collect).
    type: str
  window_seconds:
    description:
      - The server's search window, how long a dispatch may stay without a job before the result is V(nobody).
      - Shorter than 6 s gives false results, because the server's list may show a job only after 5 s.
    type: float
    default: 10.0
  timeout_seconds:
    description: How long to wait for a single answer of the server.
    type: float
    default: 5.0
  leave:
    description:
      - Only send the probes, which are of the kinds V(probe) or V(plain), and answer RV(sent).
      - The server removes their rooms after a minute and a half if nobody collects.
    type: bool
    default: false
  collect:
    description:
      - RV(sent) of an earlier task. Waits for what is left of the window, looks who took each, and cleans up. What was
        sent more than a minute ago, or could not be sent, is sent now.
    type: list
    elements: dict
  probes:
    description: The probes to send. Either this or O(collect).
    type: list
    elements: dict
    suboptions:
      id:
        description: Name of the result.
        type: str
        required: true
      kind:
        description:
          - V(probe) carries metadata that a worker with the probe hook answers without starting a job.
          - V(plain) is a dispatch like any other; the worker that takes it runs its entrypoint.
          - V(preview) lets the application's own API create room and dispatch; it waits until the agent is in the room,
            with its media connection.
          - V(rehearsal) is a real job that the worker of O(probes[].instance) takes though its gate is closed, and
            every other with the probe hook passes on; it waits until the agent is in the room. Without an instance
            whoever is asked takes it.
        type: str
        choices: [probe, plain, preview, rehearsal]
        default: probe
      expect:
        description:
          - V(job) ends as soon as a worker has the job.
          - V(nobody) is started first, waits out the whole window and is read last.
          - V(dispatch), for a preview, ends as soon as its room has a dispatch to O(probes[].agent_name), whoever takes
            it.
        type: str
        choices: [job, nobody, dispatch]
        default: job
      agent_name:
        description:
          - Agent name to dispatch to.
          - With O(probes[].expect=nobody) a random name is made when it is left out.
          - For a preview the name that is expected. To which one the API dispatched is in its answer, or in the
            server's list of the room.
        type: str
      deployment:
        description: LiveKit deployment label of the workers to reach. Empty is the usual one.
        type: str
      mode:
        description:
          - V(answer) is answered by whichever worker of the name is asked first.
          - V(pass) is passed on by the workers of O(probes[].instances) (without them by every worker with the hook),
            so that another worker takes the job if there is one.
          - V(answer_if) is answered only by the worker whose O(probes[].instance) and O(probes[].release) match.
        type: str
        choices: [answer, pass, answer_if]
        default: answer
      instance:
        description: "Instance that shall answer, or take the rehearsal: C(<inventory_hostname>/<release>)."
        type: str
      release:
        description: Release that shall answer.
        type: str
      process:
        description: With O(probes[].instance) the one process of it that shall answer, as its log has it in
          C(hook_process). Older hooks ignore it.
        type: str
      instances:
        description:
          - With O(probes[].mode=pass) the instances that are to pass the probe on. A worker with the hook that is not
            among them answers it, so that one of another deployment is seen.
          - C(<instance>#<process>) names a process of an instance. Where one is named, a copy of the host with the same
            instance answers.
        type: list
        elements: str
      tries:
        description:
          - How often a probe with O(probes[].mode=answer_if) is sent at most, while a worker without the hook takes it
            for a real job. Where others have the name, the first one may go to one of them. Once more also when nobody
            took it, as a rehearsal is.
        type: int
        default: 1
      metadata:
        description: Metadata to send instead of the module's own; a JSON object for a rehearsal, or a plain dispatch,
          has the module's keys added.
        type: str
      count:
        description: How many dispatches to send. Above 1 the results are C(<id>/1), C(<id>/2) and so on.
        type: int
        default: 1
      spacing_seconds:
        description: Time between the dispatches of one probe.
        type: float
        default: 0.0
      in_turn:
        description:
          - Each dispatch of O(probes[].count) goes out when the one before has ended, so that a worker has one job of
            them at a time. After two that nobody took no more are sent.
          - RV(probes) has those that were sent.
        type: bool
        default: false
      own_ids:
        description: With O(probes[].in_turn) the worker ids that are expected. A dispatch that another worker took is
          the last one.
        type: list
        elements: str
      window_seconds:
        description: Search window of this probe, if another than O(window_seconds).
        type: float
      deadline_seconds:
        description: Until when the agent of a preview or a rehearsal must be in the room.
        type: float
        default: 20.0
      stay_seconds:
        description: How long the agent of a preview or a rehearsal is left in the room, so that it can do more than
          join; half a second at least.
        type: float
        default: 0.0
      request:
        description: The request that makes the application dispatch, for a preview.
        type: dict
        suboptions:
          url:
            description: Address.
            type: str
            required: true
          method:
            description: HTTP method.
            type: str
            default: POST
          headers:
            description: HTTP headers. Treated as secret.
            type: dict
          body:
            description: Body; a dict or a list is sent as JSON.
            type: raw
          validate_certs:
            description: Check the certificate.
            type: bool
            default: true
          ca_file:
            description: File with the certificates of the authorities that are trusted, instead of the system's.
            type: path
          server_name:
            description: Name that the server goes by, where the address is another; for its certificate, and as the
              header Host.
            type: str
          room_key:
            description:
              - Key of the room's name in the JSON answer, or of an access token for it; dots go deeper, numbers into
                lists.
            type: str
            default: room
          dispatch_key:
            description: Key of the dispatch id in the JSON answer; may be missing there.
            type: str
            default: dispatch_id
          agent_name_key:
            description: Key of the agent name in the JSON answer; may be missing there.
            type: str
            default: agent_name
      answer:
        description: What the application answered to O(probes[].request) on its own host, where the controller cannot
          reach it; nothing is requested then.
        type: dict
        suboptions:
          status: {description: HTTP status., type: int, required: true}
          text: {description: Body., type: str, required: true}
attributes:
  check_mode:
    support: full
    description: Sends nothing and returns no results.
"""

EXAMPLES = r"""
- name: Ask who serves two names, and that nobody serves a random one
  livekit_dispatch:
    url: wss://livekit.example.com
    api_key: "{{ livekit_api_key }}"
    api_secret: "{{ livekit_api_secret }}"
    probes:
      - {id: nobody, expect: nobody}
      - {id: node-a/directed, agent_name: support-a, mode: answer_if, instance: node-a/20260102T030405Z-0a1b2c3d}
      - {id: node-b/exclusive, agent_name: support-b, mode: pass, expect: nobody}
      - {id: node-a/plain, kind: plain, agent_name: support-a, count: 5, spacing_seconds: 0.5}
      - {id: node-a/preview, kind: preview, request: {url: "http://192.0.2.10/v1/preview"}}
  delegate_to: localhost
  run_once: true
  register: __probes

- name: Ask who took what was sent before
  livekit_dispatch:
    url: wss://livekit.example.com
    api_key: "{{ livekit_api_key }}"
    api_secret: "{{ livekit_api_secret }}"
    collect: "{{ __sent.sent }}"
  delegate_to: localhost
  run_once: true
  register: __probes
"""

RETURN = r"""
probes:
  description: What became of each probe, by id.
  type: dict
  returned: success
  contains:
    kind: {description: Kind of the probe., type: str}
    expect: {description: What was expected., type: str}
    outcome: {description: "V(taken), V(nobody), V(dispatched) or V(error).", type: str}
    reason: {description: What happened, in one sentence., type: str}
    error_kind:
      description: "Cause of an error in one word; V(media) where an agent is in its room without a media connection,
        V(not_reached) where the controller got no connection to O(probes[].request); null without."
      type: str
    agent_name: {description: Name the dispatch went to., type: str}
    room: {description: Room of the dispatch; it is gone., type: str}
    nonce: {description: Random text in the metadata and in the room's name., type: str}
    dispatch_id: {description: Id of the dispatch., type: str}
    job_id: {description: Id of the job., type: str}
    worker_id: {description: Worker that has the job; null with LiveKit servers before 1.9.1., type: str}
    status:
      description: "State of the job: V(JS_SUCCESS) = answered by the hook, V(JS_RUNNING) = a job started."
      type: str
    latency_seconds:
      description: From the creation of the dispatch until the job was seen in the server's list.
      type: float
    in_room: {description: "The agent of the job is in the room with its media, and stays; for a preview and a
      rehearsal.", type: bool}
    begun: {description: "Seconds from the start of the module to that of the probe, by O(probes[].spacing_seconds).",
      type: float}
    seconds: {description: From the start of the probe to its result., type: float}
    tried: {description: "How often each worker took an earlier try, by worker id; with O(probes[].tries).", type: dict}
sent:
  description: What O(collect) takes; empty without O(leave).
  type: list
  elements: dict
  returned: success
waits:
  description: What the run had to wait for.
  type: list
  elements: dict
  returned: success
  contains:
    what: {description: Cause., type: str}
    seconds: {description: How long., type: float}
seconds:
  description: How long everything took, with the clean-up.
  type: float
  returned: success
"""

REQUEST: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True},
    "method": {"type": "str", "default": "POST"},
    "headers": {"type": "dict", "no_log": True},
    "body": {"type": "raw"},
    "validate_certs": {"type": "bool", "default": True},
    "ca_file": {"type": "path"},
    "server_name": {"type": "str"},
    "room_key": {"type": "str", "default": "room", "no_log": False},
    "dispatch_key": {"type": "str", "default": "dispatch_id", "no_log": False},
    "agent_name_key": {"type": "str", "default": "agent_name", "no_log": False},
}
PROBE: dict[str, dict[str, Any]] = {
    "id": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["probe", "plain", "preview", "rehearsal"], "default": "probe"},
    "expect": {"type": "str", "choices": ["job", "nobody", "dispatch"], "default": "job"},
    "agent_name": {"type": "str"},
    "deployment": {"type": "str"},
    "mode": {"type": "str", "choices": ["answer", "pass", "answer_if"], "default": "answer"},
    "instance": {"type": "str"},
    "release": {"type": "str"},
    "process": {"type": "str"},
    "instances": {"type": "list", "elements": "str"},
    "tries": {"type": "int", "default": 1},
    "metadata": {"type": "str"},
    "count": {"type": "int", "default": 1},
    "spacing_seconds": {"type": "float", "default": 0.0},
    "in_turn": {"type": "bool", "default": False},
    "own_ids": {"type": "list", "elements": "str"},
    "window_seconds": {"type": "float"},
    "deadline_seconds": {"type": "float", "default": 20.0},
    "stay_seconds": {"type": "float", "default": 0.0},
    "request": {"type": "dict", "options": REQUEST},
    "answer": {
        "type": "dict",
        "options": {"status": {"type": "int", "required": True}, "text": {"type": "str", "required": True}},
    },
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "url": {"type": "str"},
    "api_key": {"type": "str", "no_log": False},
    "api_secret": {"type": "str", "no_log": True},
    "window_seconds": {"type": "float", "default": 10.0},
    "timeout_seconds": {"type": "float", "default": 5.0},
    "leave": {"type": "bool", "default": False},
    "collect": {"type": "list", "elements": "dict"},
    "probes": {"type": "list", "elements": "dict", "options": PROBE},
}


class Answer(TypedDict):
    """What the module answers; RETURN says more of each."""

    probes: Results
    sent: list[SentProbe]
    waits: list[Wait]
    seconds: float


def run(params: Any) -> Answer:
    started = time.monotonic()
    server = params["url"], params["api_key"], params["api_secret"]
    limit = {"timeout_seconds": params["timeout_seconds"]}
    results: Results = {}
    sent: list[SentProbe] = []
    specs = probe_specs(params["probes"] or [], params["window_seconds"])
    if params["collect"] is not None:
        results = asyncio.run(dispatch.collect(*server, params["collect"], **limit))
    elif params["leave"]:
        sent = asyncio.run(dispatch.leave(*server, specs, **limit))
    else:
        results = asyncio.run(dispatch.send(*server, specs, **limit))
    seconds = round(time.monotonic() - started, 3)
    waits = probe_waits(results, params["window_seconds"])
    if params["collect"] is not None:
        waits = [{"what": "vacancy window", "seconds": round(seconds, 1)}] if seconds >= 0.1 else []
    return {"probes": results, "sent": sent, "waits": waits, "seconds": seconds}


@guarded
def main() -> None:
    needed = dict.fromkeys(("probes", "collect"), ("url", "api_key", "api_secret"))
    either = [("probes", "collect")]
    required = {"required_by": needed, "required_one_of": either}
    module = Module(ARGUMENTS, supports_check_mode=True, mutually_exclusive=either, **required)
    if client.IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("livekit-api"))
    probes = module.params["probes"] or []
    if refusals := probe_refusals(probes, leave=module.params["leave"]):
        module.fail_json(msg="; ".join(refusals))
    if module.check_mode or not (probes or module.params["collect"]):
        module.exit_json(changed=False, probes={}, sent=[], waits=[], seconds=0.0)
    try:
        answer = run(module.params)
    except LiveKitError as failure:
        module.fail_json(msg=str(failure), **failure.as_dict())
    except (asyncio.CancelledError, KeyboardInterrupt):
        module.fail_json(msg="interrupted; dispatches and rooms of the probes were deleted")
    except Exception as error:
        module.fail_json(msg=f"unexpected {type(error).__name__}: {error}")
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
