"""What a run has before it starts: the libraries, imported once by the process that runs are forked from.

Only libraries: each run imports the graph's own modules, so that it has the code that the UI has last reloaded.
"""

import gc
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
    """The definitions of user agents take longer to compile than an hour's events to be written."""
    from ua_parser import parse

    parse("")


for library in LIBRARIES:
    import_module(library)
_compile_user_agents()
# Nothing of this is ever given back, so that runs need not look through it, nor copy its pages by doing so.
gc.freeze()
