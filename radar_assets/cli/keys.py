"""`radar key`: the keys by which the collector knows whose events it takes in."""

from typing import Literal

from cyclopts import App

from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, err, out, printable

key_app = App(name="key", help="Create, revoke and list the keys of the collector.", group_parameters=OPTIONS)


@key_app.command
def create(
    project: str,
    /,
    *,
    kind: Literal["write", "read"] = "write",
    origin: list[str] | None = None,
    value: str | None = None,
) -> None:
    """Create a key and print it, this once.

    Parameters
    ----------
    project
        Id of the project.
    kind
        write brings events in; read asks for the live numbers.
    origin
        A web origin that it is for, such as https://shop.example; may be given again. Wildcards are not supported. Any sender by
        default.
    value
        The key itself, for senders that have an id which is no secret: the website id of Umami, the domain of Plausible, the
        app id of Snowplow.
    """
    from radar_assets.collector.keys import create_key

    key = create_key(open_projects(), project, kind, value=value, origins=origin or ())
    err().print(f"A {kind} key of {printable(project)}; it is not shown again:", markup=False)
    print(key)


@key_app.command
def revoke(key: str, /) -> None:
    """Revoke a key; within seconds it opens nothing.

    Parameters
    ----------
    key
        Its id, as radar key list shows it, or the key itself.
    """
    from radar_assets.collector.keys import revoke_key

    revoked = revoke_key(open_projects(), key)
    out().print(f"Revoked key {revoked.id} of {printable(revoked.project_id)}.", markup=False)


@key_app.command(name="list")
def list_them() -> None:
    """List the keys: what they are for, not what they are."""
    from rich.table import Table
    from rich.text import Text

    from radar_assets.collector.keys import list_keys

    table = Table("id", "project", "kind", "origins", "since", "revoked", show_edge=False)
    for key in list_keys(open_projects()):
        revoked = f"{key.revoked_at:%Y-%m-%d}" if key.revoked_at else ""
        origins = "\n".join(key.origins) or "any"
        table.add_row(key.id, Text(printable(key.project_id)), key.kind, origins, f"{key.created_at:%Y-%m-%d}", revoked)
    out().print(table if table.row_count else "There are no keys yet; radar key create PROJECT makes one.")
