"""A day of 2.4 million events of 50 projects, from NDJSON in the landing zone to daily metrics, against a bare DuckDB script."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from radar_assets.windows import DAY, HOUR, Window, day_key, hour_key
from radar_assets_tests.benchmarks import traffic
from radar_assets_tests.benchmarks.measurement import Figure, Measured, measure

if TYPE_CHECKING:
    from radar_assets.settings import Settings

EVENTS = 2_400_000
PROJECTS = 50
THREADS = 2
ROUNDS = 3
MAX_TIMES = 1.5
MAX_MEMORY_MB = 2048


class DifferentResultError(Exception):
    """The bare script and Radar give different tables, so comparing their times would be meaningless."""


def run(folder: Path, scale: float) -> list[Figure]:
    """Time and memory of both, from the round whose ratio is the median.

    Raises:
        DifferentResultError: their tables differ.
    """
    landed = traffic.land(folder / "landing", traffic.DAY, 1, projects=PROJECTS, events=round(EVENTS * scale))
    rounds = [_round(folder, number) for number in range(max(1, round(ROUNDS * scale)))]
    rounds.sort(key=lambda each: each[1].result["runs_s"] / each[0].result["runs_s"])
    bare, product = rounds[len(rounds) // 2]
    return _figures(bare, product, landed.lines)


def _round(folder: Path, number: int) -> tuple[Measured, Measured]:
    """Run the bare script before and after Radar, and use its faster run, because machines are slow for minutes at a time."""
    home, output = folder / f"home-{number}", folder / f"bare-{number}"
    environment = traffic.environment_of(home, folder / "landing", threads=THREADS)
    settings = traffic.prepare_home(environment, PROJECTS)
    window = Window.of_day(traffic.DAY)
    day = day_key(traffic.DAY)

    def run_bare() -> Measured:
        output.mkdir()
        arguments = (folder / "landing", output, THREADS, day, PROJECTS)
        return measure("bare", *arguments, environment=environment, log=folder / "bare.log")

    # First an empty day, so that everything is compiled and cached as in a home in use.
    before = (hour_key(window.start - HOUR), hour_key(window.start - HOUR), day_key(traffic.DAY - DAY))
    measure("product", *before, environment=environment, log=folder / "first.log")
    first = run_bare()
    shutil.rmtree(output)
    arguments = (hour_key(window.start), hour_key(window.end - HOUR), day)
    product = measure("product", *arguments, environment=environment, log=folder / "product.log")
    second = run_bare()
    compare(settings, output)
    shutil.rmtree(home)
    shutil.rmtree(output)
    return min(first, second, key=lambda run: run.result["runs_s"]), product


def compare(settings: "Settings", output: Path) -> None:
    """Check that the tables have the same rows, apart from line numbers.

    Raises:
        DifferentResultError: they differ.
    """
    from radar_assets.lakehouse.inputs import Files
    from radar_assets.lakehouse.sql import SqlModel
    from radar_assets.tables import TABLES, open_lakehouse

    lakehouse = open_lakehouse(settings)
    for name, table in TABLES.items():
        if name == "alerts":  # not part of the path from lines to metrics
            continue
        columns = ", ".join(f'"{column}"' for column in table.column_names if column != "line_number")
        statement = f"""
            select count(*) as row_count, sum(hash({columns})) as digest
            from (select true as is_bare, {columns} from bare union all by name select false as is_bare, {columns} from radar)
            group by is_bare order by is_bare
        """
        inputs = {"radar": Files.of(lakehouse.snapshot(name)), "bare": output / f"{name}.parquet"}
        found = lakehouse.engine.query(SqlModel("digest", statement), inputs).to_pylist()
        sides = [(row["row_count"], row["digest"]) for row in found]
        if sides and (len(sides) != 2 or sides[0] != sides[1]):
            raise DifferentResultError(f"{name}: rows and digest in Radar, then in the bare script, are {sides}")


def _figures(bare: Measured, product: Measured, lines: int) -> list[Figure]:
    seconds, floor = product.result["runs_s"], bare.result["runs_s"]
    figures = [
        Figure("pipeline", "from NDJSON to daily metrics", seconds, "s", floor, max_times=MAX_TIMES),
        Figure("pipeline", "the same with process start", product.wall_s, "s", bare.wall_s, max_times=MAX_TIMES),
        Figure("pipeline", "processor time", product.cpu_s, "CPU s", bare.cpu_s),
        Figure("pipeline", "throughput", lines / seconds, "events/s", lines / floor),
        Figure("pipeline", "peak memory", product.peak_mb, "MB", bare.peak_mb, at_most=MAX_MEMORY_MB),
    ]
    steps = product.result["steps_s"]
    figures += [
        Figure("pipeline", f"step {name}", time, "s", bare.result["steps_s"].get(name)) for name, time in steps.items()
    ]
    outside = product.result["runs_s"] - sum(steps.values())
    return [*figures, Figure("pipeline", "outside the steps: plan, events of the run", outside, "s")]
