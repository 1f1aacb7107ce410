"""Generates parts of the docs, `.env.example` and the JSON schema of `radar.yaml` from the code: `uv run python docs/generate.py`.

A page marks such a part with `<!-- begin generated: NAME -->` and `<!-- end generated -->`; everything around it is written by hand.
`--check` writes nothing, and exits with 1 if anything is out of date.
"""

import difflib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from parts import cli, events, metrics, radar_schema, radar_yaml, settings, tables

PROJECT = Path(__file__).resolve().parents[1]
DOCS = PROJECT / "docs"
PART = re.compile(
    r"(<!-- begin generated: (?P<name>\w+) -->\n).*?(?P<end><!-- end generated -->)",
    re.DOTALL,
)
PARTS: Mapping[str, Callable[[], str]] = {
    "settings": settings.settings_table,
    "cli": cli.cli_reference,
    "tables": tables.tables_reference,
    "frame_dtypes": tables.frame_dtypes,
    "event_fields": events.event_fields,
    "rejection_reasons": events.rejection_reasons,
    "event_names": events.event_names,
    "doors": events.doors_table,
    "checks": tables.checks_table,
    "metrics": metrics.metrics_table,
    "metric_expressions": metrics.metric_expressions,
    "radar_yaml": radar_yaml.radar_yaml_reference,
}


def generated() -> dict[Path, str]:
    """Every file that is generated or has generated parts, with its current text."""
    files = {
        PROJECT / ".env.example": settings.env_example(),
        PROJECT / "radar_assets" / "radar.schema.json": radar_schema.radar_json_schema(),
    }
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if PART.search(text):
            files[page] = PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]()}\n\n{part['end']}", text)
    return files


def main(arguments: Sequence[str]) -> int:
    """Update what is out of date, or show it with `--check`. Returns the exit code."""
    outdated = 0
    for path, text in generated().items():
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if before == text:
            continue
        outdated += 1
        name = path.relative_to(PROJECT).as_posix()
        if "--check" in arguments:
            changes = difflib.unified_diff(
                before.splitlines(), text.splitlines(), name, f"{name}, generated", lineterm=""
            )
            print(*changes, sep="\n")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"Wrote {name}")
    if outdated and "--check" in arguments:
        print("Out of date; run: uv run python docs/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
