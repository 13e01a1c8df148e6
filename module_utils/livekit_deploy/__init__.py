# SPDX-License-Identifier: Apache-2.0
"""Code the modules share: parse, compare, decide. Nothing here knows Ansible.

Every module imports something of this package first, so a Python that is too old for the rest is refused here, in
words. This file itself is for any Python 3.
"""

import json
import sys

OLDEST = (3, 10)
TOO_OLD = (
    "found: Python {}.{} at {}, expected {}.{} or newer. Install a newer one beside it (RHEL 9: dnf install "
    "python3.12) and name it for this host: ansible_python_interpreter: /usr/bin/python3.12. "
    "Where the distribution has none, as Debian 11, upgrade the host"
)

if sys.version_info < OLDEST:
    found = TOO_OLD.format(sys.version_info[0], sys.version_info[1], sys.executable, *OLDEST)
    # ansible-core reads a module's answer there.
    sys.stdout.write(json.dumps({"failed": True, "msg": found}))
    sys.exit(1)
