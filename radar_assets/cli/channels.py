"""`radar channels`: where alerts are sent to, and whether they arrive there."""

from cyclopts import App

from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, out, printable

channels_app = App(name="channels", help="List and try the channels of alerts.", group_parameters=OPTIONS)


@channels_app.command(name="list")
def list_channels() -> None:
    """List the channels that radar apply has taken in; no secrets are shown."""
    from rich.table import Table
    from rich.text import Text

    from radar_assets.alerts.channels import load_channels

    table = Table("name", "type", "where", show_edge=False)
    for channel in load_channels(open_projects()).values():
        table.add_row(*(Text(printable(cell)) for cell in (channel.name, channel.type, channel.where)))
    none = "There are no channels yet; write them into radar.yaml and run radar apply."
    out().print(table if table.row_count else none)


@channels_app.command
def test(name: str, /) -> None:
    """Send a message to a channel, to see that it arrives.

    Parameters
    ----------
    name
        Of the channel, as radar channels list shows it.
    """
    from radar_assets.alerts.channels import Sending, load_channels, send
    from radar_assets.alerts.messages import trial
    from radar_assets.settings import load_settings
    from radar_assets.store.models import FieldError
    from radar_assets.windows import utc_now

    channels = load_channels(open_projects())
    if name not in channels:
        raise FieldError("channel", name, "is unknown; radar channels list shows them")
    message = trial(utc_now())
    send(channels[name], message, Sending.of(load_settings(), lambda _: ()))
    out().print(f"Sent to {printable(name)}: {printable(channels[name].where)} has accepted it.", markup=False)
