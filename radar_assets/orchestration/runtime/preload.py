"""Imports the libraries that runs need, once, in the process that runs are forked from.

Only libraries belong here. Each run imports Radar's own modules itself, so that it has the code that the UI last reloaded.
"""

import gc
import os
from importlib import import_module

LIBRARIES = [
    "crawleruseragents",
    "dagster._cli.api",
    "dagster._core.execution.plan.active",
    "dagster._core.executor.in_process",
    "dagster_postgres",
    "duckdb",
    "fsspec.implementations.local",
    "numpy.ma",
    "pandas",  # which pyarrow and DuckDB import by themselves, with the first array and the first parameter: 0.7 s
    "pyarrow.parquet",
    "pydantic_settings",
    "pyiceberg.avro.decoder_fast",
    "pyiceberg.catalog.sql",
    "pyiceberg.io.pyarrow",
    "sqlalchemy.dialects.sqlite",
    "sqlglot.dialects.duckdb",
    "sqlglot.optimizer",
    "ua_parser",
    "upath.implementations.local",
]


def _compile_user_agents() -> None:
    """Compile the user agent patterns, which takes longer than writing an hour of events."""
    from ua_parser import parse

    parse("")


# `radar dev` ends by killing its process group, and runs survive that. They inherit the group of the process they are forked from, so
# none is in the group of `radar dev` for even a moment.
os.setpgid(0, 0)
for library in LIBRARIES:
    import_module(library)
_compile_user_agents()
# These objects are never freed. Frozen, they are not scanned by the runs, which would copy their memory pages.
gc.freeze()
