"""Helpers for tests of imports: an importer with its own landing zone, and canonical lines."""

import json
import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

from radar_assets.events.contract import CanonicalEvent, parse
from radar_assets.events.importer import ImportResult, import_file
from radar_assets.events.landing import list_hours, list_segments
from radar_assets.lakehouse.engines.duckdb import DuckDBEngine

START = date(2020, 1, 1)


class Importer:
    """Imports files into its own landing zone, and reads what landed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.landing = folder / "landing"
        self.landing.mkdir(parents=True)
        self.engine = DuckDBEngine("512MB", 2, folder / "scratch")

    def file(self, content: bytes | str, name: str = "export") -> Path:
        """A file with this content."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def __call__(self, source: Path | bytes | str, format: str, **asked: Any) -> ImportResult:
        path = source if isinstance(source, Path) else self.file(source)
        return import_file(path, self.landing, engine=self.engine, format=format, **{"start": START, **asked})  # pyright: ignore[reportArgumentType]

    def landed(self) -> dict[datetime, list[bytes]]:
        """The lines of each received hour, in the order of its segments."""
        return {
            hour: [
                line
                for segment in list_segments(self.landing, hour)
                for line in re.findall(rb"[^\n]*\n", segment.local_path.read_bytes())
            ]
            for hour in sorted(list_hours(self.landing))
        }

    def lines(self) -> list[bytes]:
        """All lines."""
        return [line for lines in self.landed().values() for line in lines]

    def events(self) -> list[dict[str, Any]]:
        """All lines as JSON, in the order of their event ids."""
        return [json.loads(line) for line in self.lines()]

    def segments(self) -> dict[str, tuple[int, bytes]]:
        """Content of each segment, and when it was written."""
        return {
            str(path.relative_to(self.landing)): (path.stat().st_mtime_ns, path.read_bytes())
            for path in self.landing.rglob("*.ndjson")
        }


def canonical(number: int, received_at: Any = "2026-03-01T10:00:00Z", **fields: Any) -> bytes:
    """A canonical line. Fields set to `...` are left out."""
    event = {
        "event_id": f"e{number}",
        "project_id": "shop",
        "type": "track",
        "event": "order",
        "user_id": "u1",
        "timestamp": "2026-03-01T09:59:59Z",
        "received_at": received_at,
        "properties": {"number": number},
        "protocol": "segment",
    } | fields
    return json.dumps({name: value for name, value in event.items() if value is not ...}).encode() + b"\n"


def accepted(lines: Iterable[bytes], project: str = "shop", start: date = START) -> bool:
    """Whether the contract accepts all lines."""
    return all(isinstance(parse(line.strip(), [project], start), CanonicalEvent) for line in lines)
