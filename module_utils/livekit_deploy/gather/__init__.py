# SPDX-License-Identifier: Apache-2.0
"""What a host shows of the past: workers, requests, answers. Runs on a host."""
