"""Asset checks over tables: what a check reads, and how its result reaches Dagster.

The SQL of a check returns the rows that violate its rule. All checks of a table run in one step, over the partitions of the run, or
over the latest two days if they are started alone. Data land while checks run, so stale partitions are not judged until their rebuild.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)

from radar_assets.calendar import Calendar
from radar_assets.lakehouse.files import STEP, from_unit
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.lakehouse.staleness import stale
from radar_assets.lakehouse.table import Table, Transform
from radar_assets.orchestration.run_tags import partition_span
from radar_assets.windows import DAY, HOUR, Window, parse_day, parse_hour, utc_now

if TYPE_CHECKING:
    import pyarrow as pa
    from dagster._core.execution.context.system import StepExecutionContext

AFTER_METRICS = {"dagster/priority": "-1"}
"""Tags of steps that nothing waits for. A run executes the steps that lead to metrics first."""
REPORTED_FOR = timedelta(days=7)
"""How long a check warns of a recovery."""
EXAMPLES = 20
"""Maximum number of failing rows that a check shows."""


@dataclass(frozen=True)
class View:
    """What a check reads: a window, and snapshots of the tables that it compares."""

    lakehouse: Lakehouse
    tables: Mapping[str, Snapshot]
    window: Window

    def query(self, model: SqlModel, **files: Sequence[Window | None]) -> "pa.Table":
        """Run a model over files of tables, selected by a window for each partition field."""
        return self.lakehouse.engine.query(
            model,
            {name: Files.of(self.tables[name], *windows) for name, windows in files.items()},
            {"start": self.window.start, "end": self.window.end},
        )


@dataclass(frozen=True)
class TableCheck:
    """A rule over a table.

    Attributes:
        name: a sentence that is true when the check passes, in snake case.
        find: returns the rows that violate the rule. Their time or date columns are the partitions they are about.
        source: the table that the rule compares with, a direct or indirect input. Partitions that are stale against it are not
            judged. None for a rule about the table alone.
        spills_over: whether rows of a partition count in the next partition too. If one is stale, neither is judged.
    """

    name: str
    description: str
    find: "Callable[[View], pa.Table]"
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    source: str | None = None
    spills_over: bool = False


def checks_of(table: Table, checks: Sequence[TableCheck]) -> dg.AssetChecksDefinition:
    """The step that runs the checks of a table, including those that every table has."""
    rules = {check.name: check for check in (*checks, schema_check(table), recovery_check(table))}

    @dg.multi_asset_check(
        name=f"{table.name}_checks",
        specs=[dg.AssetCheckSpec(rule.name, asset=table.name, description=rule.description) for rule in rules.values()],
        can_subset=True,
        op_tags=AFTER_METRICS,
    )
    def run_checks(
        context: dg.AssetCheckExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> Iterator[dg.AssetCheckResult]:
        window = checked_window(context.run.tags, table.grid)
        for key in sorted(context.selected_asset_check_keys):
            rule = rules[key.name]
            tables = _tables(lakehouse, table, rule)
            unjudged = _unjudged(tables, rule, window, lakehouse.calendar())
            faults = _without(unjudged, rule.find(View(lakehouse, tables, window)))
            yield _Verdict(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=faults.num_rows == 0,
                severity=rule.severity,
                metadata={
                    "window": f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC",
                    "rows_at_fault": faults.num_rows,
                    "not_judged": sum(window.start <= start < window.end for start in unjudged),
                    **({"faults": _shown(faults)} if faults.num_rows else {}),
                },
            )

    return run_checks


class _Verdict(dg.AssetCheckResult):
    """A result that looks up the latest materialization by asset key.

    In a run over a range, Dagster lists all partitions instead, which takes half a second for three years of hours.
    """

    def _get_unpartitioned_target_materialization_data(
        self, step_context: "StepExecutionContext", asset_key: dg.AssetKey
    ) -> AssetCheckEvaluationTargetMaterializationData | None:
        for record in step_context.instance.get_asset_records([asset_key]):
            if latest := record.asset_entry.last_materialization_record:
                return AssetCheckEvaluationTargetMaterializationData(
                    storage_id=latest.storage_id, run_id=latest.run_id, timestamp=latest.timestamp
                )
        return None


def checked_window(tags: Mapping[str, str], grid: Transform) -> Window:
    """The window of a run's partitions, or the latest two days for a run without partitions."""
    span = partition_span(tags)
    if span is None:
        end = Window.of_day(utc_now().date()).end
        return Window(end - 2 * DAY, end)
    first, last = span
    if grid == "hour":
        return Window(parse_hour(first), parse_hour(last) + HOUR)
    return Window(Window.of_day(parse_day(first)).start, Window.of_day(parse_day(last)).end)


def schema_check(table: Table) -> TableCheck:
    """Checks names and types of a table's columns against its contract."""

    def find(view: View) -> "pa.Table":
        import pyarrow as pa

        actual = {field.name: str(field.field_type) for field in view.tables[table.name].iceberg.schema().fields}
        promised = {column.name: column.type.replace(",", ", ") for column in table.columns}
        names = [name for name in {**promised, **actual} if promised.get(name) != actual.get(name)]
        return pa.table(
            {
                "column": pa.array(names, pa.string()),
                "promised": pa.array([promised.get(name) for name in names], pa.string()),
                "actual": pa.array([actual.get(name) for name in names], pa.string()),
            }
        )

    return TableCheck("schema_equals_contract", "Names and types of the columns equal the contract.", find)


def recovery_check(table: Table) -> TableCheck:
    """Warns of recoveries of a table, so that lost files show up although the table has healed."""

    def find(view: View) -> "pa.Table":
        import pyarrow as pa

        since = (utc_now() - REPORTED_FOR).isoformat()
        found = [recovery for recovery in view.tables[table.name].recoveries if recovery.at >= since]
        return pa.table(
            {
                "at": pa.array([recovery.at for recovery in found], pa.string()),
                "reason": pa.array([recovery.reason for recovery in found], pa.string()),
                "lost_commits": pa.array([recovery.last - recovery.first + 1 for recovery in found], pa.int64()),
            }
        )

    description = f"No files of the table were lost in the last {REPORTED_FOR.days} days. Lost ones are built again."
    return TableCheck("files_are_intact", description, find, dg.AssetCheckSeverity.WARN)


def _tables(lakehouse: Lakehouse, table: Table, rule: TableCheck) -> dict[str, Snapshot]:
    """Snapshots of the checked table and its inputs, up to the rule's source.

    A table is read before its input, so that a commit in between shows as staleness. In the other order, the table could contain
    rows that the snapshot of its input lacks.
    """
    tables = {table.name: lakehouse.snapshot(table.name)}
    for origin in table.origins if rule.source else ():
        tables[origin.name] = lakehouse.snapshot(origin.name)
        if origin.name == rule.source:
            break
    return tables


def _unjudged(tables: Mapping[str, Snapshot], rule: TableCheck, window: Window, calendar: Calendar) -> set[datetime]:
    """Starts of the stale partitions in the window and next to it."""
    found: set[datetime] = set()
    for child, parent in pairwise(tables.values()):
        unit = child.table.grid
        starts = {from_unit(value, unit) for value in stale(parent, child, calendar, within=window.widen(STEP[unit]))}
        found |= starts | ({start + STEP[unit] for start in starts} if rule.spills_over else set())
    return found


def _without(unjudged: set[datetime], faults: "pa.Table") -> "pa.Table":
    """The failing rows without those of unjudged partitions."""
    import pyarrow as pa

    for column in faults.column_names:
        if pa.types.is_temporal(faults[column].type):
            starts = faults[column].cast(pa.timestamp("us")).to_pylist()
            faults = faults.filter(pa.array([start not in unjudged for start in starts], pa.bool_()))
    return faults


def _shown(faults: "pa.Table") -> dg.TableMetadataValue:
    rows = faults.slice(0, EXAMPLES).to_pylist()
    return dg.MetadataValue.table(
        [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in faults.column_names]),
    )


def _cell(value: object) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
