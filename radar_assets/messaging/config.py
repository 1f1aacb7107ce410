"""The section `channels` of `radar.yaml`."""

from typing import Annotated

from pydantic import ValidationInfo, field_validator

from radar_assets.messaging.channel import ChannelSpec
from radar_assets.messaging.channels import AnyChannel
from radar_assets.sections import Section
from radar_assets.store.declared import StoredAs
from radar_assets.store.models import Channel


class ChannelsSection(Section):
    """The channels that messages are sent to.

    Attributes:
        channels: destinations of alerts.
    """

    channels: Annotated[tuple[AnyChannel, ...], StoredAs("channel", Channel, has_secrets=True)] = ()

    @field_validator("channels")
    @classmethod
    def _have_unique_names(cls, channels: tuple[ChannelSpec, ...], info: ValidationInfo) -> tuple[ChannelSpec, ...]:
        names = [channel.name for channel in channels]
        if duplicates := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"duplicate name {min(duplicates)}")
        if info.context is not None:
            info.context["channels"] = names
        return channels
