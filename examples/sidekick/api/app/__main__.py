"""Start the API: ``python -m app``."""

from __future__ import annotations

import sys

import uvicorn
from pydantic import ValidationError

from .main import create_app
from .settings import Settings

PORT = 8080
GRACE_SECONDS = 15
"""How long running requests may take after SIGTERM: more than LiveKit's client waits (10 s)."""


def load_settings() -> Settings:
    """Return the settings, or end the process with exit code 2 and what is wrong with them."""
    try:
        return Settings()
    except ValidationError as error:
        sys.stderr.write(f"sidekick api: refusing to start: {error}\n")
        sys.exit(2)


def main() -> None:
    """Serve until SIGTERM."""
    uvicorn.run(
        create_app(load_settings()),
        host="0.0.0.0",  # noqa: S104 - inside a container, published where the deployment says
        port=PORT,
        timeout_graceful_shutdown=GRACE_SECONDS,
        # stdout carries JSON lines only, and a proxy in front logs requests anyway.
        access_log=False,
    )


if __name__ == "__main__":
    main()
