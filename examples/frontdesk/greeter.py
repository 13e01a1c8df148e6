"""As little as an agent of livekit-agents can be: it joins the room."""

from livekit.agents import AgentServer, JobContext, cli

server = AgentServer()


@server.rtc_session()
async def greeter(ctx: JobContext) -> None:
    """Join, and stay until the room ends."""
    await ctx.connect()


if __name__ == "__main__":
    cli.run_app(server)
