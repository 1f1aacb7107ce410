"""`radar key`: the keys that authenticate senders and readers at the collector."""

import sys
from typing import Literal

from cyclopts import App

from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, err, is_terminal, out, printable, radar_command

key_app = App(name="key", help="Create, revoke and list keys of the collector.", group_parameters=OPTIONS)


@key_app.command
def create(
    project: str,
    /,
    *,
    kind: Literal["write", "read"] = "write",
    origin: list[str] | None = None,
    value: str | None = None,
) -> None:
    """Create a key and print it. It is not shown again.

    Parameters
    ----------
    project
        Id of the project.
    kind
        write: send events. read: read live numbers.
    origin
        Web origin that may use the key, e.g. https://shop.example. Can be repeated; wildcards are not supported. Default: any.
    value
        Use this value as the key: Umami's website id, Plausible's domain or Snowplow's app id. Default: random.
    """
    from radar_assets.access.keys import create_key

    key = create_key(open_projects(), project, kind, value=value, origins=origin or ())
    # Where the key goes into a variable or a file, this line would announce a key that does not appear.
    if is_terminal(sys.stdout):
        err().print(f"New {kind} key of {printable(project)}, not shown again:", markup=False)
    print(key)


@key_app.command
def revoke(key: str, /) -> None:
    """Revoke a key. It stops working within seconds.

    Parameters
    ----------
    key
        Id of the key, as shown by radar key list, or the key itself.
    """
    from radar_assets.access.keys import revoke_key

    revoked = revoke_key(open_projects(), key)
    out().print(f"Revoked key {revoked.id} of {printable(revoked.project_id)}.", markup=False)


@key_app.command(name="list")
def list_them(*, format: Format = "table") -> None:
    """List the keys, without their values.

    Parameters
    ----------
    format
        Output format.
    """
    from radar_assets.access.keys import list_keys

    columns = [
        Column("id"),
        Column("project_id", heading="project"),
        Column("kind", rank=1),
        Column("origins", cell=lambda origins: ", ".join(origins) or "any", rank=2),
        Column("created_at", heading="since", cell="{:%Y-%m-%d}".format, rank=3),
        Column("revoked_at", heading="revoked", cell=lambda at: f"{at:%Y-%m-%d}" if at else ""),
    ]
    rows = ([getattr(key, column.name) for column in columns] for key in list_keys(open_projects()))
    print_list(columns, rows, format, empty=f"No keys yet; create one with {radar_command()} key create PROJECT.")
