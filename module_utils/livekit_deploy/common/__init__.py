# SPDX-License-Identifier: Apache-2.0
"""What every part uses: files, times, foreign text, commands for users."""
