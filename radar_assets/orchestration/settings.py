"""The settings of the UI."""

from typing import Annotated

from pydantic import Field

from radar_assets.home import HomeSettings
from radar_assets.urls import shown_url


class UISettings(HomeSettings):
    """UI: where people reach it."""

    ui_url: Annotated[str | None, shown_url("http", "https")] = Field(
        default=None,
        description="Public address of the UI. The UI answers only to its host and to the names of this machine. Alerts link to it, "
        "and radar apply reloads it if no UI of this home runs on this machine. Default: under radar dev, its own address; otherwise "
        "none, and alerts have no links.",
    )
