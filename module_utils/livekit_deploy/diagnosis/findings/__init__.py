# SPDX-License-Identifier: Apache-2.0
"""For each cause of missing jobs: does it hold on a host, is it ruled out, or is it unknown?

Each function looks first for what speaks for the cause, with whatever was read. Then it asks for all that it takes to
rule the cause out. What is missing there ends it with MissingError, which is reported as unknown: nothing is inferred
from what could not be read.
"""
