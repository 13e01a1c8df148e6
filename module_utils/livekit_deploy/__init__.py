# SPDX-License-Identifier: Apache-2.0
"""Code the modules share: parse, compare, decide. Nothing here knows Ansible."""
