#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: is the LiveKit server reachable and does it accept the key?"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ansible.module_utils.basic import missing_required_lib
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.common.times import COMPACT, stamp
from ansible.module_utils.livekit_deploy.livekit import client
from ansible.module_utils.livekit_deploy.livekit.errors import LiveKitError

DOCUMENTATION = r"""
---
module: livekit_server_info
short_description: Read whether a LiveKit server is reachable and accepts an API key
description:
  - Asks the server once for its list of rooms. Changes nothing; the same in check mode.
  - Fails within O(timeout_seconds) when the server is not reachable, refuses the key or the secret, or is no LiveKit
    server, and says what was found, what was expected and what to do.
  - A worker with a wrong key keeps trying for two minutes before it tells.
  - Runs on the controller, which needs the Python package C(livekit-api).
requirements: [livekit-api >= 1.0]
author: ["livekit-agent-deploy contributors"]
options:
  url:
    description: Address of the server. C(ws://), C(wss://), C(http://) and C(https://) are accepted.
    type: str
    required: true
  api_key:
    description: API key.
    type: str
    required: true
  api_secret:
    description: Secret of the API key.
    type: str
    required: true
  timeout_seconds:
    description: How long to wait for the answer.
    type: float
    default: 5.0
attributes:
  check_mode:
    support: full
    description: Reads only.
"""

EXAMPLES = r"""
- name: Read whether the LiveKit server accepts the key
  livekit_server_info:
    url: wss://livekit.example.com
    api_key: "{{ livekit_api_key }}"
    api_secret: "{{ livekit_api_secret }}"
  delegate_to: localhost
  run_once: true
  register: __server
"""

RETURN = r"""
reachable:
  description: The server answered.
  type: bool
  returned: always
key_accepted:
  description: The server accepted key and secret.
  type: bool
  returned: always
rooms:
  description: Number of rooms on the server.
  type: int
  returned: success
seconds:
  description: How long the answer took.
  type: float
  returned: always
stamp:
  description: Time of the run on the controller, UTC, as it is used in a release id.
  type: str
  returned: always
  sample: 20260102T030405Z
time:
  description: The same time in seconds since the epoch.
  type: float
  returned: always
kind:
  description: Cause of a failure, one word.
  type: str
  returned: failure
  sample: secret
found:
  description: What was found.
  type: str
  returned: failure
expected:
  description: What was expected.
  type: str
  returned: failure
remedy:
  description: What to do.
  type: str
  returned: failure
"""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True},
    "api_key": {"type": "str", "required": True, "no_log": False},
    "api_secret": {"type": "str", "required": True, "no_log": True},
    "timeout_seconds": {"type": "float", "default": 5.0},
}
ANSWERED = frozenset({"key", "secret", "clock", "permission"})


@guarded
def main() -> None:
    module = Module(argument_spec=ARGUMENTS, supports_check_mode=True)
    if client.IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("livekit-api"))
    p, now, started = module.params, time.time(), time.monotonic()
    clock = {"stamp": stamp(now, COMPACT), "time": now}
    try:
        found = asyncio.run(client.look_at_server(p["url"], p["api_key"], p["api_secret"], p["timeout_seconds"]))
    except LiveKitError as failure:
        answered = failure.kind in ANSWERED and bool(p["api_key"] and p["api_secret"])
        state = {"reachable": answered, "key_accepted": False, "seconds": round(time.monotonic() - started, 3)}
        module.fail_json(msg=str(failure), **state, **clock, **failure.as_dict())
    except Exception as error:
        module.fail_json(msg=f"unexpected {type(error).__name__}: {error}")
    module.exit_json(changed=False, **clock, **found)


if __name__ == "__main__":
    main()
