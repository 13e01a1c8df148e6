# SPDX-License-Identifier: Apache-2.0
"""What tests on a real LiveKit server need before they are imported: paths, and the server `real_livekit` reads."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT), str(ROOT / "examples" / "sidekick" / "tests")]

from benchmarks import verdict_time  # noqa: E402  the path comes first

os.environ.setdefault("LIVEKIT_SERVER", verdict_time.server_binary())
