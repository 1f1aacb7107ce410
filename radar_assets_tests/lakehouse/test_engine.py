"""The engine: it writes one file per partition in any order of rows and with little memory, and isolates statements."""

import multiprocessing
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import duckdb
import psutil
import pyarrow as pa
import pytest

from radar_assets.lakehouse.engines.duckdb import MAX_KEPT_MB, ROWS_HELD, DuckDBEngine
from radar_assets.lakehouse.files import NewFile
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.lakehouse.table import Column, Table

TABLE = Table(
    "late",
    "Rows of many hours.",
    (
        Column("at", "timestamp", "When.", nullable=False),
        Column("number", "long", "Which.", nullable=False),
        Column("text", "string", "Something that takes room.", nullable=False),
    ),
    (("at", "hour"),),
    ("number",),
)
SCATTERED = SqlModel(
    "late",
    """
    select
        timestamp '2026-01-01' + to_hours((number * 7919 % $hours)::integer) as at,
        number,
        repeat(md5(number::varchar), $size // 32) as text
    from range($count) numbers(number)
    """,
)


def write(folder: Path, memory: str, *, count: int, hours: int, size: int) -> list[NewFile]:
    """Write rows whose hours alternate."""
    engine = DuckDBEngine(memory, 2, folder / "scratch")
    return engine.write(SCATTERED, {}, {"count": count, "hours": hours, "size": size}, TABLE, folder / "data")


def check_whole(files: list[NewFile], *, count: int, hours: int) -> None:
    """Check that each file has the rows of one hour."""
    start = 490_896  # hours from 1970 to 2026
    assert {file.partition[0] for file in files} == set(range(start, start + hours))
    assert sum(file.rows for file in files) == count
    assert all(Path(file.path).stat().st_size == file.size_bytes for file in files)


def test_rows_in_any_order_give_one_file_per_partition(tmp_path: Path) -> None:
    count = 4 * ROWS_HELD
    files = write(tmp_path, "1GB", count=count, hours=300, size=32)
    check_whole(files, count=count, hours=300)
    assert len(files) == 300


def test_the_limit_of_open_files_is_kept(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as others:
        for _ in range(150):
            others.enter_context(Path(os.devnull).open())  # what the process holds for other purposes counts
        resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds() + 100, before[1]))
        try:
            files = write(tmp_path, "1GB", count=30_000, hours=600, size=32)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    check_whole(files, count=30_000, hours=600)


def test_more_partitions_than_fit_in_memory_are_written_in_batches(tmp_path: Path) -> None:
    count, hours = 100_000, 600
    files = write(tmp_path, "100MB", count=count, hours=hours, size=640)
    check_whole(files, count=count, hours=hours)
    assert len(files) == hours
    assert len({Path(file.path).parents[1] for file in files}) > 1, "they fitted in memory"
    assert not any((tmp_path / "scratch").iterdir())


def test_a_statement_that_fails_leaves_no_file(tmp_path: Path) -> None:
    engine = DuckDBEngine("256MB", 2, tmp_path / "scratch")
    late_failure = SqlModel(
        "late",
        SCATTERED.sql.replace("        number,", "        if(number = 190_000, error('at last'), number) as number,"),
    )
    with pytest.raises(duckdb.Error, match="at last"):
        engine.write(late_failure, {}, {"count": 200_000, "hours": 9, "size": 640}, TABLE, tmp_path / "data")
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_a_column_that_files_lack_is_null(tmp_path: Path) -> None:
    [file] = write(tmp_path, "256MB", count=2, hours=1, size=32)
    newer = Table(TABLE.name, "", (*TABLE.columns, Column("share", "double", "New.")), TABLE.partition_by, TABLE.key)
    engine = DuckDBEngine("256MB", 2, tmp_path / "scratch")
    query = SqlModel("read", "select number, share from late order by number")
    rows = engine.query(query, {"late": Files(newer, [file.path], evolved=True)}).to_pylist()
    assert rows == [{"number": 0, "share": None}, {"number": 1, "share": None}]


def test_statements_in_threads_see_their_own_inputs(tmp_path: Path) -> None:
    engine = DuckDBEngine("256MB", 2, tmp_path / "scratch")
    read, broken = (
        SqlModel("read", "select n from numbers"),
        SqlModel("broken", "select error('on purpose') from numbers"),
    )

    def ask(number: int) -> int:
        inputs = {"numbers": pa.table({"n": [number]})}
        if number % 10 == 0:
            with pytest.raises(duckdb.Error, match="on purpose"):
                engine.query(broken, inputs)
        return engine.query(read, inputs)["n"][0].as_py()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(300))) == list(range(300))


def test_relations_end_with_their_statement(tmp_path: Path) -> None:
    engine = DuckDBEngine("256MB", 2, tmp_path / "scratch")
    nothing = Files(TABLE, [])
    with engine.connect({"late": nothing, "numbers": pa.table({"n": [1]})}) as connection:
        connection.execute("create temp table kept as select * from numbers")
    for name in ("late", "numbers", "kept"):
        with pytest.raises(duckdb.CatalogException, match=name), engine.connect({}) as connection:
            connection.execute(f"from {name}")


def test_settings_of_a_separate_connection_affect_no_others(tmp_path: Path) -> None:
    engine = DuckDBEngine("256MB", 2, tmp_path / "scratch")
    (tmp_path / "file").touch()
    with engine.connect({}, alone=True) as connection:
        connection.execute("set enable_external_access = false; set lock_configuration = true")
    assert engine.query(SqlModel("q", f"select count(*) as n from glob('{tmp_path}/*')"), {})["n"][0].as_py() == 1


def test_a_forked_process_can_run_statements(tmp_path: Path) -> None:
    engine = DuckDBEngine("256MB", 2, tmp_path / "scratch")
    total = SqlModel("total", "select sum(range)::bigint as n from range(2_000_000)")
    expected = engine.query(total, {})["n"][0].as_py()
    fork = multiprocessing.get_context("fork")
    receives, sends = fork.Pipe(duplex=False)
    process = fork.Process(target=lambda: sends.send(engine.query(total, {})["n"][0].as_py()))
    process.start()
    try:
        assert receives.poll(60), "the process gave no answer"
        assert receives.recv() == expected
    finally:
        process.kill()
        process.join()


def test_spilled_files_are_removed_after_the_statement(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    engine = DuckDBEngine("100MB", 2, scratch)
    with engine.connect({}) as connection:
        numbers = "select range as number, md5(range::varchar) as text from range(3_000_000)"
        connection.execute(f"create temp table sorted as {numbers} order by text")
        assert any(scratch.iterdir()), "nothing was spilled"
    assert not any(scratch.iterdir())


def test_memory_is_returned_after_large_statements(tmp_path: Path) -> None:
    engine = DuckDBEngine("1GB", 2, tmp_path / "scratch")
    texts = ", ".join(f"md5((range * {place})::varchar) as text_{place}" for place in range(8))
    engine.query(SqlModel("little", f"select {texts} from range(10)"), {})
    before = psutil.Process().memory_info().rss
    with engine.connect({}) as connection:
        connection.execute(f"create temp table much as select {texts} from range(1_500_000)")
        taken = psutil.Process().memory_info().rss - before
    assert taken > 2 * MAX_KEPT_MB * 2**20
    assert psutil.Process().memory_info().rss - before < taken / 2
