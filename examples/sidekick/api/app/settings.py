"""The settings, all from the environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _not_blank(value: str) -> str:
    """Refuse an empty name: LiveKit would send the unnamed agents to every new room."""
    if not value.strip():
        raise ValueError("must not be empty")
    return value


class Settings(BaseSettings):
    """What the container's environment says.

    LIVEKIT_AGENT_NAME beats AGENT_NAME, even if it is empty: the worker reads only that one.
    """

    # Without hide_input_in_errors the message about one missing value prints all the others.
    model_config = SettingsConfigDict(hide_input_in_errors=True, populate_by_name=True)

    livekit_agent_name: Annotated[str, AfterValidator(_not_blank)] = Field(
        validation_alias=AliasChoices("LIVEKIT_AGENT_NAME", "AGENT_NAME")
    )
    livekit_url: str = Field(min_length=1)
    livekit_api_key: str = Field(min_length=1)
    livekit_api_secret: SecretStr = Field(min_length=1)
    livekit_deploy_instance: str = ""
    """``<inventory_hostname>/<release>``, or "" outside a deployment."""

    @property
    def release(self) -> str:
        """The release: what follows the last slash of the instance."""
        return self.livekit_deploy_instance.rpartition("/")[2]
