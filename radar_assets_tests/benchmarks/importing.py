"""The process of the import benchmark: imports a file like `radar import`, on the home of the environment."""

import json
import sys
import time
from pathlib import Path

from radar_assets_tests.benchmarks.measurement import report


def main(file: str, mapping: str) -> None:
    """Import a file."""
    from radar_assets.events.importer import import_file
    from radar_assets.settings import load_settings
    from radar_assets.tables import open_lakehouse

    settings = load_settings().prepare()
    began = time.monotonic()
    done = import_file(
        Path(file),
        settings.landing,
        engine=open_lakehouse(settings).engine,
        format="ndjson",
        start=settings.start_date,
        mapping=json.loads(mapping),
    )
    report({"import_s": time.monotonic() - began, "lines": done.lines, "events": done.events})


if __name__ == "__main__":
    main(*sys.argv[1:])
