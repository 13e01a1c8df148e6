# SPDX-License-Identifier: Apache-2.0
"""All hosts at once: access, status, the report."""
