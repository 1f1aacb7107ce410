"""The command line of the benchmarks: runs the selected ones, prints a table and writes the figures as JSON."""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from radar_assets_tests.benchmarks.measurement import Figure

BENCHMARKS = {
    "pipeline": "pipeline",
    "growth": "growth",
    "days": "local_days",
    "tick": "tick",
    "import": "imports",
    "collect": "collect",
    "alerting": "alerting",
}
"""Modules by the name of the benchmark."""
WORK = Path(".benchmarks")

app = App(name="benchmarks", help=__doc__)


@app.default
def main(
    *names: str, scale: float = 1.0, json_path: Annotated[Path, Parameter(name="--json")] = WORK / "figures.json"
) -> int:
    """Run benchmarks, by default all of them. The exit code is 1 if a bound is broken.

    Parameters
    ----------
    names
        pipeline, growth, days, tick, import, collect, alerting
    scale
        Share of the events, for trials.
    json_path
        File for the figures.
    """
    unknown = set(names) - BENCHMARKS.keys()
    if unknown:
        raise SystemExit(f"unknown benchmark {', '.join(unknown)}; known benchmarks: {', '.join(BENCHMARKS)}")
    WORK.mkdir(exist_ok=True)
    figures: list[Figure] = []
    for name in names or BENCHMARKS:
        with tempfile.TemporaryDirectory(dir=WORK, ignore_cleanup_errors=True) as folder:
            began = time.monotonic()
            figures += import_module(f"{__package__}.{BENCHMARKS[name]}").run(Path(folder).absolute(), scale)
            print(f"{name}: {time.monotonic() - began:.0f} s in all", file=sys.stderr)
    _write(figures, scale, json_path)
    _print(figures, scale)
    return int(any(figure.holds is False for figure in figures))


def _write(figures: Sequence[Figure], scale: float, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{**asdict(figure), "ratio": figure.ratio, "holds": figure.holds} for figure in figures]
    path.write_text(json.dumps({"scale": scale, "figures": rows}, indent=2) + "\n")


def _print(figures: Sequence[Figure], scale: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Benchmarks at scale {scale:g}", title_justify="left")
    for heading in ("benchmark", "figure"):
        table.add_column(heading)
    for heading in ("measured", "floor", "ratio"):
        table.add_column(heading, justify="right")
    table.add_column("bound")
    for figure in figures:
        table.add_row(
            figure.benchmark,
            figure.name,
            f"{_number(figure.value)} {figure.unit}",
            "" if figure.floor is None else f"{_number(figure.floor)} {figure.unit}",
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            "" if figure.holds is None else f"[{'green' if figure.holds else 'red'}]{figure.bound}",
        )
    Console().print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(app())
