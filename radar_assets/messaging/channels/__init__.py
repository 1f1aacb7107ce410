"""The kinds of channels. Each module of this package declares one, as a subclass of `ChannelSpec`; adding a kind adds a module.

Importing this loads none of the packages that send, draw or read the store.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from importlib import import_module
from operator import or_
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from radar_assets.messaging.channel import ChannelSpec
from radar_assets.messaging.message import PRIORITIES, Priority

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from radar_assets.store.database import Store


def _declared() -> dict[str, type[ChannelSpec]]:
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    return {
        value.type_name(): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ChannelSpec) and value.__module__ == module.__name__
    }


CHANNELS: Mapping[str, type[ChannelSpec]] = _declared()
"""Every kind of channel, by its `type`."""

if TYPE_CHECKING:
    AnyChannel = ChannelSpec
else:
    AnyChannel = Annotated[reduce(or_, CHANNELS.values()), Field(discriminator="type")]
_SPEC: TypeAdapter[ChannelSpec] = TypeAdapter(AnyChannel, config=ConfigDict(hide_input_in_errors=True))


def parse_channel(spec: Mapping[str, Any], allowed_hosts: Sequence[str] = ()) -> ChannelSpec:
    """Validate the declaration of a channel.

    Args:
        allowed_hosts: hosts and networks that may be sent to although they are not public.

    Raises:
        pydantic.ValidationError: a field is invalid; the error shows no value.
    """
    return _SPEC.validate_python(dict(spec), context={"allowed_hosts": allowed_hosts})


def load_channels(store: "Store") -> dict[str, ChannelSpec]:
    """The channels that were applied, by name, in the order of the file.

    They were validated then; whether their hosts are still allowed is checked when something is sent.
    """
    from radar_assets.store.declared import stored_specs
    from radar_assets.store.models import Channel

    with store.session(read_only=True) as session:
        specs = stored_specs(session, Channel)
    channels = [parse_channel(spec, ("0.0.0.0/0", "::/0")) for spec in specs]
    return {channel.name: channel for channel in channels}


def separate(session: "Session") -> set[str]:
    """The applied channels whose messages are never merged into a digest."""
    import sqlalchemy as sa

    from radar_assets.store.models import Channel

    specs = session.execute(sa.select(Channel.name, Channel.spec))
    return {name for name, spec in specs if CHANNELS.get(spec.get("type", ""), ChannelSpec).is_separate}


def taking(session: "Session", names: Sequence[str], priority: Priority) -> list[str]:
    """The channels among `names` that accept messages of a priority. A channel that was not applied accepts all."""
    import sqlalchemy as sa

    from radar_assets.store.models import Channel

    if not names:
        return []
    specs = session.execute(sa.select(Channel.name, Channel.spec))
    kinds = {name: CHANNELS.get(spec.get("type", ""), ChannelSpec) for name, spec in specs}
    rank = PRIORITIES.index(priority)
    return [name for name in names if rank >= PRIORITIES.index(kinds.get(name, ChannelSpec).min_priority)]
