"""`radar maintain`: the nightly maintenance of tables, by hand."""

from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from radar_assets.cli.auditing import audit
from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.terminal import counted, out, size


def maintain(
    *,
    dry_run: bool = False,
    grace: Annotated[float | None, Parameter(validator=Number(gte=4))] = None,
    format: Format = "table",
) -> None:
    """Merge small files, pack the landing zone and delete files that nothing refers to, as the nightly job does.

    The list has the files of each table on disk: live ones, those kept for earlier snapshots, those that nothing reaches any more but
    that are within the grace period, and those that were deleted.

    Parameters
    ----------
    dry_run
        Only show what would be merged and deleted.
    grace
        Hours for which files are kept that nothing reaches. Default: RADAR_SWEEP_GRACE_H. [least: 4]
    format
        Output format.
    """
    from dagster import DagsterInstance

    from radar_assets.events.packing import pack
    from radar_assets.operations.maintenance import clear_caches, grace_period
    from radar_assets.operations.maintenance import maintain as maintain_table
    from radar_assets.orchestration.runtime.instance import prepare_instance
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse
    from radar_assets.windows import utc_now

    settings = load_settings(**({} if grace is None else {"sweep_grace_h": grace})).prepare()
    lakehouse, now = open_lakehouse(settings), utc_now()
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        period: timedelta = grace_period(settings, instance)
    columns = [Column("table"), Column("merged_files", heading="would merge" if dry_run else "merged")]
    for state in ("live", "kept", "unreached", "deleted"):
        heading = "would delete" if dry_run and state == "deleted" else state
        columns += [
            Column(f"{state}_files", heading=f"{heading} (files)"),
            Column(f"{state}_bytes", heading="size", cell=size),
        ]
    rows: list[tuple[object, ...]] = []
    for name in lakehouse.tables:
        done = maintain_table(lakehouse, name, now, period, dry_run=dry_run)
        usages = (done.swept.live, done.swept.kept, done.swept.unreached, done.swept.deleted)
        rows.append(
            (name, done.compacted.merged, *(number for usage in usages for number in (usage.files, usage.size_bytes)))
        )
    cleared = clear_caches(lakehouse, now, dry_run=dry_run)
    print_list(columns, rows, format)
    packed = pack(lakehouse, now, period, dry_run=dry_run)
    if not dry_run:
        audit(open_store(settings.database), "maintain", "all tables", grace_h=period / timedelta(hours=1))
    if format != "table":
        return
    if packed.hours:
        verb = "Would pack" if dry_run else "Packed"
        sizes = size(packed.before_bytes) + ("" if dry_run else f" into {size(packed.after_bytes)}")
        text = f"{verb} {counted(packed.segments, 'segment')} of {counted(packed.hours, 'hour')} of the landing zone, {sizes}."
        out().print(text, markup=False)
    files, size_bytes = cleared.files + packed.removed_files, cleared.size_bytes + packed.removed_bytes
    if files:
        verb = "Would delete" if dry_run else "Deleted"
        out().print(f"{verb} {files:,} cached files and segments that are in a pack, {size(size_bytes)}.", markup=False)
