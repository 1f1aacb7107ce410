"""`radar channels`: the destinations of messages, and whether messages arrive there."""

from cyclopts import App

from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, out, printable

channels_app = App(
    name="channels", help="List and test the channels that messages are sent to.", group_parameters=OPTIONS
)


@channels_app.command(name="list")
def list_channels() -> None:
    """List the channels that were applied, without their secrets."""
    from rich.table import Table
    from rich.text import Text

    from radar_assets.messaging.channels import load_channels

    table = Table("name", "type", "where", show_edge=False)
    for channel in load_channels(open_projects()).values():
        table.add_row(*(Text(printable(cell)) for cell in (channel.name, channel.type_name(), channel.where)))
    none = "No channels yet; declare them in radar.yaml and run radar apply."
    out().print(table if table.row_count else none)


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
        raise FieldError("channel", name, "is unknown; radar channels list shows them")
    channels[name].send(trial_message(utc_now()), Transport.of(load_settings(), partial(suppressed, store)))
    out().print(f"Sent to {printable(name)}: {printable(channels[name].where)} has accepted it.", markup=False)
