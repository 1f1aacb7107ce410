"""The settings of the event layer."""

from pydantic import Field

from radar_assets.lakehouse.settings import LakehouseSettings

DEDUPE_DAYS = 7


class EventSettings(LakehouseSettings):
    """Events: which of them are copies."""

    dedupe_days: int = Field(
        default=DEDUPE_DAYS,
        ge=1,
        le=366,
        description="Days within which an event id counts once, and an order once, whatever the times in a resend say. Each day "
        "costs the hourly runs about 0.05 s per million events. After a change, rebuild what should follow it.",
    )
