"""An agent whose media do not get through, on a real LiveKit server: listed, and counts as not in its room.

The stand-in joins its room by the signal connection alone, which is what a firewall in front of the media ports leaves
of an agent.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import real_livekit  # type: ignore[import-not-found]
from ansible.module_utils.livekit_deploy.livekit import dispatch
from ansible.module_utils.livekit_deploy.livekit.probe import GivenProbe, ProbeResult, probe_specs

from benchmarks.stand_in import ACCEPT, StandIn, in_thread

pytestmark = pytest.mark.real
KEY, SECRET = real_livekit.KEY, real_livekit.SECRET


def rehearse(url: str) -> ProbeResult:
    probe: GivenProbe = {"id": "a/rehearsal", "kind": "rehearsal", "agent_name": "mute", "deadline_seconds": 10.0}
    return asyncio.run(dispatch.send(url, KEY, SECRET, probe_specs([probe], 10.0)))["a/rehearsal"]


def test_agent_without_a_media_connection_is_not_in_its_room(tmp_path: Path) -> None:
    with (
        real_livekit.livekit_server(tmp_path) as url,
        in_thread(url, KEY, SECRET, [StandIn("mute", answer=ACCEPT)]) as (worker,),
    ):
        result = rehearse(url)
    assert (result["outcome"], result["worker_id"]) == ("taken", worker.worker_id)
    assert (result["in_room"], result["error_kind"]) == (None, "media")
    assert "has no media connection within 10 s" in result["reason"]
