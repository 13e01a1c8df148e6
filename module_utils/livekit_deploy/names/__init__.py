# SPDX-License-Identifier: Apache-2.0
"""Whose an agent name is: evictions, renames."""
