#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Converge the nginx site of an application."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_site
short_description: Write the nginx site of an application, test it and reload
description:
  - Writes one site file of ours and, where there is none yet, the include with its upstream. Other sites are left alone.
  - The configuration is tested before nginx reloads it; when nginx refuses it, the files are put back as they were.
options:
  app:
    description: Name of the application; names the upstream and both files.
    type: str
    required: true
  site:
    description: Text of the site file.
    type: str
    required: true
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
"""

RETURN = r"""
path:
  description: The site file.
  returned: always
  type: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.livekit_deploy.files import read_text, write_atomically
from ansible.module_utils.livekit_deploy.host import reload_proxy, upstream_path, upstream_text

ARGUMENT_SPEC: dict[str, Any] = {"app": {"type": "str", "required": True}, "site": {"type": "str", "required": True}}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    app = module.params["app"]
    path, upstream = Path(f"/etc/nginx/conf.d/livekit-agent-deploy-{app}.conf"), Path(upstream_path(app))
    before, has_upstream = read_text(path), upstream.exists()
    changed = before != module.params["site"] or not has_upstream
    result = {"changed": changed, "path": str(path), "diff": {"before": before or "", "after": module.params["site"]}}
    if not changed or module.check_mode:
        module.exit_json(**result)
    upstream.parent.mkdir(mode=0o755, exist_ok=True)
    if not has_upstream:
        write_atomically(upstream, upstream_text(app, None), 0o644)
    write_atomically(path, module.params["site"], 0o644)
    refused = reload_proxy(module.run_command)
    if refused:
        if before is None:
            path.unlink()
        else:
            write_atomically(path, before, 0o644)
        if not has_upstream:
            upstream.unlink()
        module.fail_json(
            msg=f"found: {refused}. Expected: nginx accepts the site; the files are as they were before. Check the api_proxy variables"
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
