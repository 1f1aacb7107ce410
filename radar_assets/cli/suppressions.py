"""`radar suppressions`: mail addresses that get no messages."""

from cyclopts import App

from radar_assets.cli.auditing import audit
from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, out, printable
from radar_assets.windows import utc_now

suppressions_app = App(
    name="suppressions", help="List, add and remove mail addresses that get no messages.", group_parameters=OPTIONS
)


@suppressions_app.command(name="list")
def list_suppressions(*, format: Format = "table") -> None:
    """List the suppressed addresses.

    Parameters
    ----------
    format
        Output format.
    """
    from radar_assets.messaging.suppression import suppressions

    columns = [
        Column("address"),
        Column("group", heading="messages", cell=lambda group: group or "all"),
        Column("reason", rank=2),
        Column("at", heading="since", rank=1),
    ]
    rows = ([getattr(row, column.name) for column in columns] for row in suppressions(open_projects()))
    print_list(columns, rows, format, empty="No address is suppressed.")


@suppressions_app.command
def add(address: str, /, *, group: str = "") -> None:
    """Send nothing more to an address.

    Parameters
    ----------
    address
        The mail address.
    group
        Only messages of this group, such as alerts. By default, all messages.
    """
    from radar_assets.messaging.suppression import suppress

    store = open_projects()
    suppress(store, address, "unsubscribed", utc_now(), group)
    audit(store, "suppression.add", address, group=group)
    out().print(f"{printable(address)} gets no more {printable(group) or 'messages'}.", markup=False)


@suppressions_app.command
def remove(address: str, /, *, group: str = "") -> None:
    """Send to an address again.

    Parameters
    ----------
    address
        The mail address.
    group
        The group that it was suppressed for.
    """
    from radar_assets.messaging.suppression import allow
    from radar_assets.store.models import FieldError

    store = open_projects()
    if not allow(store, address, group):
        raise FieldError("address", address, "is not suppressed; radar suppressions list shows those that are")
    audit(store, "suppression.remove", address, group=group)
    out().print(f"{printable(address)} gets {printable(group) or 'messages'} again.", markup=False)
