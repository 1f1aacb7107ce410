"""`radar channels`: the destinations of messages, and whether messages arrive there."""

from cyclopts import App

from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, out, printable, radar_command

channels_app = App(
    name="channels", help="List and test the channels that messages are sent to.", group_parameters=OPTIONS
)


def how_to_declare() -> str:
    """How to get the first channels and rules."""
    radar = radar_command()
    return f"declare them in radar.yaml ({radar} init writes one to start from) and run {radar} apply"


@channels_app.command(name="list")
def list_channels(*, format: Format = "table") -> None:
    """List the channels that were applied, without their secrets.

    Parameters
    ----------
    format
        Output format.
    """
    from radar_assets.messaging.channels import load_channels

    columns = [Column("name"), Column("type"), Column("where")]
    channels = load_channels(open_projects()).values()
    rows = [(channel.name, channel.type_name(), channel.where) for channel in channels]
    print_list(columns, rows, format, empty=f"No channels yet; {how_to_declare()}.")


@channels_app.command
def test(name: str, /) -> None:
    """Send a test message to a channel.

    Parameters
    ----------
    name
        Name of the channel, as radar channels list shows it.
    """
    from functools import partial

    from radar_assets.alerts.rendering import trial_message
    from radar_assets.messaging.channel import Transport
    from radar_assets.messaging.channels import load_channels
    from radar_assets.messaging.suppression import suppressed
    from radar_assets.settings import load_settings
    from radar_assets.store.models import FieldError
    from radar_assets.windows import utc_now

    store = open_projects()
    channels = load_channels(store)
    if name not in channels:
        raise FieldError("channel", name, f"is unknown; {radar_command()} channels list shows them")
    channels[name].send(trial_message(utc_now()), Transport.of(load_settings(), partial(suppressed, store)))
    out().print(f"Sent to {printable(name)}: {printable(channels[name].where)} has accepted it.", markup=False)
