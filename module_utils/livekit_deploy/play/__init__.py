# SPDX-License-Identifier: Apache-2.0
"""What a run of a playbook has registered, and who runs it."""
