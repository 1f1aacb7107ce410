"""`radar upgrade`: rebuilds what was built by earlier definitions of the tables."""

from typing import TYPE_CHECKING

from radar_assets.cli.auditing import audit
from radar_assets.cli.backfill import run_backfill
from radar_assets.cli.terminal import counted, is_confirmed, out, radar_command

if TYPE_CHECKING:
    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.lakehouse.table import Transform

JOBS: "dict[Transform, str]" = {"hour": "hourly_job", "day": "daily_job"}


def upgrade(*, dry_run: bool = False, detach: bool = False, yes: bool = False) -> int:
    """Rebuild the partitions that an earlier version of Radar built with other definitions of the tables.

    It lists them first, and asks. The daemon rebuilds hours from the landing zone, oldest first, then days. Lines whose segments are
    no longer in the landing zone keep their verdict. The exit code is 1 if partitions failed.

    Parameters
    ----------
    dry_run
        Only list them. The exit code is 0.
    detach
        Exit once the hours are queued. Days are rebuilt by the sensors, as far as their hours change; run the command again for the
        others.
    yes
        Rebuild without asking.
    """
    from radar_assets.lakehouse.files import from_unit
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    settings = load_settings().prepare()
    lakehouse = open_lakehouse(settings)
    found = outdated_partitions(lakehouse)
    if not found:
        out().print("All partitions were built by the current definitions.")
        return 0
    for name, units in found.items():
        table = lakehouse.tables[name]
        first, last = (from_unit(unit, table.grid) for unit in (min(units), max(units)))
        form = "%Y-%m-%d %H:00" if table.grid == "hour" else "%Y-%m-%d"
        span = f"{first:{form}}" if first == last else f"{first:{form}} to {last:{form}}"
        out().print(
            f"{name}: {counted(len(units), table.grid)} of an earlier version, {span}; now version {table.version}",
            markup=False,
            highlight=False,
        )
    if dry_run:
        return 0
    if not yes and not is_confirmed("Rebuild them?", "nothing was queued; pass --yes to rebuild without a terminal"):
        out().print("Nothing was queued.")
        return 1
    partitions = {name: len(units) for name, units in found.items()}
    audit(open_store(settings.database), "upgrade", "all tables", partitions=partitions)
    code = 0
    for grid, job in JOBS.items():
        units = {
            unit
            for name, units in outdated_partitions(lakehouse).items()
            if lakehouse.tables[name].grid == grid
            for unit in units
        }
        if units:
            code |= run_backfill(settings, job, [from_unit(unit, grid) for unit in sorted(units)], {}, detach=detach)
            if detach:
                return code
    if left := sum(map(len, outdated_partitions(lakehouse).values())):
        out().print(f"{counted(left, 'partition')} left. {radar_command()} upgrade rebuilds them.")
    return code


def outdated_partitions(lakehouse: "Lakehouse") -> dict[str, set[int]]:
    """The partitions of each table, by hour or day since 1970, that were built by an earlier definition and that a job rebuilds."""
    from radar_assets.lakehouse.staleness import of_earlier_versions

    found = {name: of_earlier_versions(lakehouse.snapshot(name)) for name in lakehouse.tables}
    return {name: units for name, units in found.items() if units}
