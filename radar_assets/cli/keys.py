"""`radar key`: the keys that authenticate senders and readers at the collector."""

import sys
from typing import Literal

from cyclopts import App

from radar_assets.cli.arguments import Span
from radar_assets.cli.auditing import audit
from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, err, is_terminal, out, printable, radar_command

key_app = App(name="key", help="Create, rotate, revoke and list keys of the collector.", group_parameters=OPTIONS)


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

    store = open_projects()
    key = create_key(store, project, kind, value=value, origins=origin or ())
    audit(store, "key.create", project, project_id=project, kind=kind, origins=origin or [])
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

    store = open_projects()
    revoked = revoke_key(store, key)
    audit(store, "key.revoke", revoked.id, project_id=revoked.project_id)
    out().print(f"Revoked key {revoked.id} of {printable(revoked.project_id)}.", markup=False)


@key_app.command
def rotate(key: str, /, *, overlap: Span = "24h") -> None:
    """Create the successor of a key and print it. The old one stays valid for a while.

    Parameters
    ----------
    key
        Id of the key, as shown by radar key list, or the key itself.
    overlap
        How long the old key stays valid.
    """
    from radar_assets.access.keys import rotate_key
    from radar_assets.alerts.rules import parse_span

    store = open_projects()
    new, old = rotate_key(store, key, parse_span(overlap))
    audit(store, "key.rotate", old.id, project_id=old.project_id, overlap=overlap)
    if is_terminal(sys.stdout):
        err().print(f"New {old.kind} key of {printable(old.project_id)}, not shown again:", markup=False)
    print(new)


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
        Column("expires_at", heading="expires", cell=lambda at: f"{at:%Y-%m-%d %H:%M}" if at else "", optional=True),
        Column("revoked_at", heading="revoked", cell=lambda at: f"{at:%Y-%m-%d}" if at else ""),
    ]
    rows = ([getattr(key, column.name) for column in columns] for key in list_keys(open_projects()))
    print_list(columns, rows, format, empty=f"No keys yet; create one with {radar_command()} key create PROJECT.")
