#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Wait until an API of this host is healthy, and ask it for a preview."""

from __future__ import annotations

DOCUMENTATION = r"""
module: api_answer_info
short_description: Wait until an API of this host is healthy, and ask it for a preview
description:
  - Asks a port of 127.0.0.1, or of O(host), never through a proxy, until O(health_path) answers 200. Any other answer, a redirect too, is
    waited for.
  - Then sends one request for a preview, where O(preview) has a path. What came of it is the caller's to judge, so that fails nothing.
  - All of it ends in O(health_seconds) and O(preview_seconds), and at most 256 KiB of an answer are read.
  - Headers and body of a preview may be secret, and an answer may repeat them; a task that has some needs C(no_log).
options:
  host:
    description: Address that is asked, as this host reaches it.
    type: str
    default: 127.0.0.1
  port:
    description: Port on which the API, or the proxy in front of it, listens.
    type: int
    required: true
  health_path:
    description: Path that answers 200 when the API is healthy; empty where none is known, and nothing is waited for.
    type: str
    default: ""
  health_seconds:
    description: How long the API may take until it is healthy.
    type: float
    default: 60.0
  preview:
    description: The request for a preview, as the filter C(livekit_slot_request) makes it.
    type: dict
    default: {}
    suboptions:
      path: {description: "Path and query; where it is empty, no preview is sent.", type: str, default: ""}
      method: {description: Method., type: str, default: POST}
      headers: {description: "Headers, by name.", type: dict, default: {}}
      body: {description: Body., type: raw}
      body_format: {description: How O(preview.body) is sent., type: str, choices: [json, raw], default: raw}
      tls: {description: Whether the port speaks TLS., type: bool, default: false}
      server_name: {description: "Name for TLS, where it is another than O(host).", type: str, default: ""}
      validate_certs: {description: Whether the certificate is checked., type: bool, default: true}
  preview_seconds:
    description: How long the answer to the preview may take.
    type: float
    default: 20.0
extends_documentation_fragment: [livekit_deploy.no_diff]
attributes:
  check_mode:
    description: Waits for the API, and sends no preview, for which an API makes a room.
    support: full
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Wait until the API is healthy
  api_answer_info:
    port: 18102
    health_path: /healthz
"""

RETURN = r"""
waits:
  description: What was waited for, and the seconds.
  returned: with O(health_path)
  type: list
  elements: dict
url:
  description: Where the preview was sent.
  returned: with O(preview)
  type: str
status:
  description: HTTP status of the preview's answer; 0 where there was none.
  returned: with O(preview)
  type: int
content:
  description: Body of the preview's answer with the name of its room in the place of each access token, or why there is none.
  returned: with O(preview)
  type: str
"""

import json
import ssl
import time
from typing import Any

from ansible.module_utils.livekit_deploy import web
from ansible.module_utils.livekit_deploy.answer import Module, guarded
from ansible.module_utils.livekit_deploy.text import Masker, rooms_for_tokens

ARGUMENT_SPEC: dict[str, Any] = {
    "host": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "required": True},
    "health_path": {"type": "str", "default": ""},
    "health_seconds": {"type": "float", "default": 60.0},
    "preview": {
        "type": "dict",
        "default": {},
        "options": {
            "path": {"type": "str", "default": ""},
            "method": {"type": "str", "default": "POST"},
            "headers": {"type": "dict", "default": {}},
            "body": {"type": "raw"},
            "body_format": {"type": "str", "choices": ["json", "raw"], "default": "raw"},
            "tls": {"type": "bool", "default": False},
            "server_name": {"type": "str", "default": ""},
            "validate_certs": {"type": "bool", "default": True},
        },
    },
    "preview_seconds": {"type": "float", "default": 20.0},
}


def body_of(preview: dict[str, Any], headers: dict[str, str]) -> bytes | None:
    """Return the body as it is sent; one that is JSON says so in the headers."""
    body = preview["body"]
    if body is None:
        return None
    if preview["body_format"] == "json":
        if "content-type" not in {name.lower() for name in headers}:
            headers["Content-Type"] = "application/json"
        body = json.dumps(body)
    return str(body).encode()


def tls_of(given: dict[str, Any]) -> ssl.SSLContext | None:
    if not given["tls"]:
        return None
    context = ssl.create_default_context()
    if not given["validate_certs"]:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ask(p: dict[str, Any]) -> dict[str, Any]:
    """Send the preview; its status, its body and where it went."""
    given = p["preview"]
    headers = {str(name): str(value) for name, value in given["headers"].items()}
    mask, body = Masker(headers.values()), body_of(given, headers)
    sent: dict[str, Any] = {"method": given["method"], "headers": headers, "body": body}
    secure = {"tls": tls_of(given), "server_name": given["server_name"]}
    found = web.ask(p["host"], p["port"], given["path"], p["preview_seconds"], **sent, **secure)
    content = rooms_for_tokens(found.text) if not found.error else mask(found.error)
    scheme = "https" if given["tls"] else "http"
    return {"url": f"{scheme}://{p['host']}:{p['port']}{given['path']}", "status": found.status, "content": content}


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    p, started, waits = module.params, time.monotonic(), []
    if p["health_path"]:
        found = web.wait_for(p["host"], p["port"], p["health_path"], p["health_seconds"])
        if found.status != 200:
            module.fail_json(
                msg=f"found: http://{p['host']}:{p['port']}{p['health_path']} answers {found.said}, expected HTTP 200 of {p['health_path']} "
                f"within {p['health_seconds']:g} s. Read the API's last lines, or correct agent_api_health_path, agent_api_container_port or "
                "agent_api_start_timeout_seconds"
            )
        waits = [{"what": "health of the API", "seconds": round(time.monotonic() - started, 1)}]
    asked = ask(p) if p["preview"]["path"] and not module.check_mode else {}
    module.exit_json(changed=False, waits=waits, **asked)


if __name__ == "__main__":
    main()
