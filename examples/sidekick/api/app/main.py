"""The FastAPI application."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from livekit.api import LiveKitAPI
from pydantic import BaseModel, ConfigDict

from .preview import PreviewError, create_preview
from .settings import Settings


class PreviewRequest(BaseModel):
    """The optional body of a preview."""

    model_config = ConfigDict(extra="forbid")

    metadata: str = ""
    """Handed to the agent as the dispatch's metadata."""


class PreviewResponse(BaseModel):
    """Where the agent was sent."""

    room: str
    dispatch_id: str
    agent_name: str


class AgentResponse(BaseModel):
    """Which agent this API dispatches to."""

    agent_name: str
    release: str
    instance: str


def connect(settings: Settings) -> LiveKitAPI:
    """Return a client; it opens no connection before the first call."""
    secret = settings.livekit_api_secret.get_secret_value()
    return LiveKitAPI(settings.livekit_url, settings.livekit_api_key, secret)


def log_event(event: str, **fields: str) -> None:
    """Write one JSON line on stdout, flushed so that nobody waits for it."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    sys.stdout.write(json.dumps({"event": event, **fields, "time": time}) + "\n")
    sys.stdout.flush()


def create_app(settings: Settings, client_factory: Callable[[Settings], LiveKitAPI] = connect) -> FastAPI:
    """Build the application.

    Args:
        settings: what to serve.
        client_factory: makes the one LiveKit client of the application's life.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client_factory(settings) as client:
            app.state.livekit = client
            yield

    app = FastAPI(title="sidekick", lifespan=lifespan)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Tell that this process answers; it asks nobody else."""
        return {"status": "ok"}

    @app.get("/v1/agent")
    async def agent() -> AgentResponse:
        """Tell which agent this API dispatches to."""
        return AgentResponse(
            agent_name=settings.livekit_agent_name,
            release=settings.release,
            instance=settings.livekit_deploy_instance,
        )

    @app.post("/v1/preview")
    async def preview(request: Request, body: PreviewRequest | None = None) -> PreviewResponse:
        """Create a room and ask LiveKit to send the agent there."""
        metadata = body.metadata if body else ""
        client: LiveKitAPI = request.app.state.livekit
        made = await create_preview(client, settings.livekit_agent_name, metadata)
        answer = PreviewResponse(room=made.room, dispatch_id=made.dispatch_id, agent_name=made.agent_name)
        log_event("dispatch_created", **answer.model_dump())
        return answer

    @app.exception_handler(PreviewError)
    async def tell(_request: Request, error: PreviewError) -> JSONResponse:
        """Answer 502 or 503 with the reason, and log it in one line."""
        detail = {"error": error.error, "message": str(error), "room": error.room}
        log_event("dispatch_failed", **detail)
        return JSONResponse({"detail": detail}, status_code=error.status)

    return app
