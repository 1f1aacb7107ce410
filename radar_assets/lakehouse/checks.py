"""Asset checks over a table: what a check sees, and how its verdict reaches Dagster.

A check's SQL gives the rows that break its rule, one for each partition or project at fault, so a check that passes has none. All
checks of a table run in one step, over the partitions of the run, or over the latest two days when they are started by themselves.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from radar_assets.lakehouse.contract import Table
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.partitions import DAY, HOUR, Window, parse_day, parse_hour, utc_now

if TYPE_CHECKING:
    import pyarrow as pa

AFTER_METRICS = {"dagster/priority": "-1"}
"""Tags of steps that nothing waits for: a run takes those on the way to the metrics first."""
EXAMPLES = 20
"""Rows at fault that a check shows."""


@dataclass(frozen=True)
class TableCheck:
    """A rule over a table.

    Attributes:
        name: a sentence that is true when the check passes, in snake case.
        find: gives the rows that break the rule in a window.
    """

    name: str
    description: str
    find: "Callable[[Lakehouse, Window], pa.Table]"
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR


def checks_of(table: Table, checks: Sequence[TableCheck]) -> dg.AssetChecksDefinition:
    """The step that runs the checks of a table; whether its schema equals its contract is always among them."""
    rules = {check.name: check for check in (*checks, schema_check(table))}

    @dg.multi_asset_check(
        name=f"{table.name}_checks",
        specs=[dg.AssetCheckSpec(rule.name, asset=table.name, description=rule.description) for rule in rules.values()],
        can_subset=True,
        op_tags=AFTER_METRICS,
    )
    def run_checks(
        context: dg.AssetCheckExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> Iterator[dg.AssetCheckResult]:
        window = checked_window(context.run.tags, table)
        for key in sorted(context.selected_asset_check_keys):
            rule = rules[key.name]
            faults = rule.find(lakehouse, window)
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=faults.num_rows == 0,
                severity=rule.severity,
                metadata={
                    "window": f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC",
                    "rows_at_fault": faults.num_rows,
                    **({"faults": _shown(faults)} if faults.num_rows else {}),
                },
            )

    return run_checks


def checked_window(tags: Mapping[str, str], table: Table) -> Window:
    """The window of a run's partitions; the latest two days for a run without any."""
    hourly = table.partition_by[0][1] == "hour"
    first = tags.get("dagster/asset_partition_range_start", tags.get("dagster/partition"))
    last = tags.get("dagster/asset_partition_range_end", tags.get("dagster/partition"))
    if first is None or last is None:
        end = Window.of_day(utc_now().date()).end
        return Window(end - 2 * DAY, end)
    if hourly:
        return Window(parse_hour(first), parse_hour(last) + HOUR)
    return Window(Window.of_day(parse_day(first)).start, Window.of_day(parse_day(last)).end)


def schema_check(table: Table) -> TableCheck:
    """Whether names and types of the table's columns are those of its contract."""

    def find(lakehouse: Lakehouse, window: Window) -> "pa.Table":
        import pyarrow as pa

        actual = {field.name: str(field.field_type) for field in lakehouse.snapshot(table.name).iceberg.schema().fields}
        promised = {column.name: column.type.replace(",", ", ") for column in table.columns}
        names = [name for name in {**promised, **actual} if promised.get(name) != actual.get(name)]
        return pa.table(
            {
                "column": pa.array(names, pa.string()),
                "promised": pa.array([promised.get(name) for name in names], pa.string()),
                "actual": pa.array([actual.get(name) for name in names], pa.string()),
            }
        )

    return TableCheck("schema_equals_contract", "Names and types of the columns are those of the contract.", find)


def _shown(faults: "pa.Table") -> dg.TableMetadataValue:
    rows = faults.slice(0, EXAMPLES).to_pylist()
    return dg.MetadataValue.table(
        [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in faults.column_names]),
    )


def _cell(value: object) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
