"""The section `health` of `radar.yaml`. It is read whenever definitions load."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from radar_assets.operations.health.urls import WatchedUrl
from radar_assets.sections import Section


class Health(BaseModel):
    """What the health checks look at besides Radar's own parts.

    Attributes:
        urls: URLs that must answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    urls: Annotated[tuple[WatchedUrl, ...], Field(max_length=100)] = ()

    @field_validator("urls")
    @classmethod
    def _unique_names(cls, urls: tuple[WatchedUrl, ...]) -> tuple[WatchedUrl, ...]:
        names = [url.name for url in urls]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'"{name}" occurs more than once')
        return urls


class HealthSection(Section):
    """What the health checks look at.

    Attributes:
        health: URLs that must answer, besides Radar's own parts.
    """

    health: Health = Health()
