# SPDX-License-Identifier: Apache-2.0
"""Why jobs do not come: from what was gathered to causes in order."""
