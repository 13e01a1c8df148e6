"""The front desk's worker: answers in the caller's language. It knows nothing of how it is deployed."""

from __future__ import annotations

import asyncio
import json
import logging

from livekit.agents import AgentServer, JobContext, cli

logger = logging.getLogger("clerk")
OPENING_HOURS = {"en": "from nine to five", "de": "von neun bis fünf"}

server = AgentServer(num_idle_processes=1)


@server.rtc_session()
async def clerk(ctx: JobContext) -> None:
    """A call without a language is a mistake of whoever dispatched it, and fails."""
    language = json.loads(ctx.job.metadata)["language"]
    await ctx.connect()
    await asyncio.sleep(1)
    logger.info("looked up the opening hours: %s", OPENING_HOURS[language])


if __name__ == "__main__":
    cli.run_app(server)
