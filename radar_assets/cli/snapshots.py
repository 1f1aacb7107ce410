"""`radar snapshots`: the history of the tables, and pins that keep parts of it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from radar_assets.cli.arguments import Moment, Span, moment_of
from radar_assets.cli.auditing import audit
from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.terminal import OPTIONS, out, printable, radar_command
from radar_assets.errors import UsageError
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    from radar_assets.lakehouse.table import Table

snapshots_app = App(
    name="snapshots", help="List earlier snapshots of the tables, and pin those to keep.", group_parameters=OPTIONS
)


@snapshots_app.command(name="list")
def list_snapshots(table: str = "", /, *, limit: int = 20, format: Format = "table") -> None:
    """List the pins of all tables, or the snapshots of one.

    Parameters
    ----------
    table
        The table whose snapshots to list, the latest first.
    limit
        Maximum number of snapshots.
    format
        Output format.
    """
    from itertools import islice

    from radar_assets.lakehouse.history import kept_snapshots
    from radar_assets.lakehouse.pins import list_pins
    from radar_assets.settings import load_settings
    from radar_assets.tables import open_lakehouse

    lakehouse = open_lakehouse(load_settings().prepare())
    pins = list_pins(lakehouse, _known(lakehouse.tables, [table] if table else []))
    if not table:
        columns = [
            Column("name"),
            Column("table"),
            Column("committed_at", heading="snapshot of"),
            Column("rows", rank=1),
            Column("expires_at", heading="expires", cell=lambda at: f"{at:%Y-%m-%d}" if at else "never"),
            Column("snapshot_id", only="data"),
        ]
        rows = ([getattr(one, column.name) for column in columns] for one in pins)
        print_list(
            columns,
            rows,
            format,
            empty=f"No pins. {radar_command()} snapshots list TABLE shows the snapshots of a table.",
        )
        return
    names: dict[int, list[str]] = {}
    for one in pins:
        names.setdefault(one.snapshot_id, []).append(one.name)
    columns = [
        Column("committed_at", cell=lambda at: f"{at:%Y-%m-%d %H:%M:%S}"),
        Column("rows"),
        Column("snapshot_id", cell=str, rank=1),
        Column("sequence_number", rank=2),
        Column("pins"),
    ]
    found = islice(kept_snapshots(lakehouse.snapshot(table).iceberg.metadata_location), limit)
    listed = (
        (one.committed_at, one.rows, one.snapshot_id, one.sequence_number, names.get(one.snapshot_id, []))
        for one in found
    )
    print_list(columns, listed, format, empty=f"{table} has no snapshots yet.")


@snapshots_app.command
def pin(
    name: str,
    /,
    *tables: str,
    as_of: Annotated[Moment | None, Parameter(name="--as-of")] = None,
    expires: Span | None = None,
) -> None:
    """Keep tables as they stand, or stood at a time, under a name.

    Parameters
    ----------
    name
        Name of the pin, such as before-fix. Iceberg readers see it as a tag.
    tables
        The tables to pin. Default: all.
    as_of
        Pin the snapshots of this time (UTC, such as 2026-11-02T09:00, or 2h for two hours ago), or of another pin.
    expires
        Remove the pin after this time, such as 90d. Default: never.
    """
    from radar_assets.alerts.rules import parse_span
    from radar_assets.lakehouse.pins import pin as pin_tables
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    settings = load_settings().prepare()
    lakehouse = open_lakehouse(settings)
    expires_at = utc_now() + parse_span(expires) if expires else None
    moment = moment_of(as_of) if as_of else None
    pins = pin_tables(lakehouse, name, _known(lakehouse.tables, tables), moment, expires_at)
    snapshots = {one.table: one.snapshot_id for one in pins}
    audit(open_store(settings.database), "snapshots.pin", name, snapshots=snapshots, expires_at=expires_at)
    until = f" until {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at else ""
    out().print(f"Pinned {', '.join(one.table for one in pins)} as {name}{until}.", markup=False)


@snapshots_app.command
def unpin(name: str, /, *tables: str) -> None:
    """Remove a pin. Files that nothing else keeps are deleted by the next maintenance.

    Parameters
    ----------
    name
        Name of the pin.
    tables
        Remove it from these tables only. Default: all.
    """
    from radar_assets.lakehouse.history import UnknownPinError
    from radar_assets.lakehouse.pins import unpin as unpin_tables
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    settings = load_settings().prepare()
    lakehouse = open_lakehouse(settings)
    had = unpin_tables(lakehouse, name, _known(lakehouse.tables, tables))
    if not had:
        raise UnknownPinError(
            f"no table has a pin {printable(name)!r}; {radar_command()} snapshots list shows the pins"
        )
    audit(open_store(settings.database), "snapshots.unpin", name, tables=list(had))
    out().print(f"Removed the pin {name} from {', '.join(had)}.", markup=False)


def _known(tables: Mapping[str, "Table"], names: Sequence[str]) -> list[str]:
    """The named tables, or all."""
    for name in names:
        if name not in tables:
            raise UsageError(f"unknown table {name!r}; choose from {', '.join(tables)}")
    return list(names or tables)
