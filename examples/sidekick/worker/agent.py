"""The reference application's worker: joins the room and calls one tool.

No agent name stands here on purpose: one in the code would beat LIVEKIT_AGENT_NAME.
"""

from __future__ import annotations

import logging
import os

import faults
from livekit.agents import AgentServer, JobContext, JobRequest, cli
from livekit_deploy_hook import guard
from options import server_options

logger = logging.getLogger("sidekick")
fault = faults.Fault(os.environ.get("SIDEKICK_FAULT", ""))
faults.apply_to_environment(fault, os.environ)
faults.at_start(fault)


async def accept(request: JobRequest) -> None:
    """Take every request, as a worker without the probe hook does."""
    await request.accept()


on_request = accept if os.environ.get("SIDEKICK_HOOK") == "off" else guard()
server = AgentServer(**server_options(os.environ))
server.on("worker_registered", lambda *_: faults.at_registration(fault))


@server.rtc_session(agent_name=faults.agent_name(fault), on_request=faults.slow_down(fault, on_request))
async def entrypoint(ctx: JobContext) -> None:
    """Join the room and call a tool. The job lasts until the room ends, not until this returns."""
    faults.raise_in_entrypoint(fault)
    await ctx.connect()
    logger.info(
        "tool call",
        extra={"tool": "lookup_order", "room": ctx.room.name, "job_id": ctx.job.id},
    )


if __name__ == "__main__":
    cli.run_app(server)
