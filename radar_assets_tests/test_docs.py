"""The docs are correct: their commands run, their links work, and their generated parts match the code.

A page's `bash` blocks run in order, in one home. `CONTRIBUTING.md` describes the comments and titles that a block may have.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

import radar_assets
from radar_assets_tests.programs import find_program

PROJECT = Path(radar_assets.__file__).parents[1]
PAGES = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(PROJECT / "docs").rglob("*.md"),
]
BLOCK = re.compile(
    r'^(?:<!-- (?P<mark>[^\n]+) -->\n)?```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^```$',
    re.DOTALL | re.MULTILINE,
)
PATIENCE_S = 240
UI, COLLECTOR, MAIL = "127.0.0.1:3000", "127.0.0.1:8000", "127.0.0.1:2525"
HEAD = """
set -euo pipefail
servers=()
trap 'for server in "${servers[@]}"; do kill "$server"; wait "$server" || true; done' EXIT
"""
SERVER = """
exec 3> >(sed 's/^/server: /' >&2)
bash -c {command} >&3 2>&3 &
servers+=($!)
until curl --output /dev/null {url} 2> /dev/null; do kill -0 $!; sleep 0.2; done
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        mark: the comment before it.
        title: the file that it is written to.
    """

    mark: str
    language: str
    title: str
    body: str

    @property
    def runs(self) -> bool:
        """Whether it is a command of its page."""
        return self.language == "bash" and not self.mark.startswith(("not run: ", "runs in "))

    @property
    def script(self) -> str:
        """The lines that the block adds to the script of its page."""
        if self.title:
            return f"mkdir -p {Path(self.title).parent} && cat > {self.title} <<'END_OF_FILE'\n{self.body}END_OF_FILE\n"
        if not self.runs:
            return ""
        if self.mark.startswith("background until "):
            command = f"exec {self.body.strip()}"
            return SERVER.format(command=_quoted(command), url=self.mark.removeprefix("background until "))
        return self.body


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page that are at the start of a line."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(*(match[name] or "" for name in ("mark", "language", "title", "body"))) for match in found]


def has_commands(page: Path) -> bool:
    return any(block.runs for block in blocks(page))


def name_of(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


@pytest.fixture
def ports() -> Iterator[dict[str, str]]:
    """Free ports in place of those that the docs use, which the machine may have in use."""
    with socket.socket() as ui, socket.socket() as collector, socket.socket() as mail:
        free = {}
        for name, probe in ((UI, ui), (COLLECTOR, collector), (MAIL, mail)):
            probe.bind(("127.0.0.1", 0))
            free[name] = f"127.0.0.1:{probe.getsockname()[1]}"
    yield free


def with_ports(script: str, ports: dict[str, str]) -> str:
    """A script whose servers listen on other ports, and whose clients ask there."""
    ui, collector = (ports[name].partition(":")[2] for name in (UI, COLLECTOR))
    script = script.replace("radar dev", f"radar dev --port {ui} --collector-port {collector}")
    script = script.replace("radar collect", f"radar collect --port {collector}")
    for name, free in ports.items():
        script = script.replace(name, free)
    return script


@pytest.mark.parametrize("page", filter(has_commands, PAGES), ids=name_of)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path, ports: dict[str, str]) -> None:
    uv = os.environ.get("UV") or find_program("uv", "uv (pip install uv)", "commands of the docs")
    find_program("curl", "curl", "commands of the docs")
    user, folder = tmp_path / "user", tmp_path / "clone"
    user.mkdir()
    folder.mkdir()
    for name in ("workspace.yaml", "dagster.yaml"):
        shutil.copy(PROJECT / name, folder)
    # A refused request has to fail the page.
    (user / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    script = with_ports(HEAD + "\n".join(block.script for block in blocks(page)), ports)
    environment = {
        "PATH": f"{Path(uv).parent}:{os.environ['PATH']}",
        "HOME": str(user),
        # Don't sync the environment of the tests.
        **{"UV_PROJECT": str(PROJECT), "UV_NO_SYNC": "1", "UV_OFFLINE": "1", "UV_PYTHON": sys.executable},
    }
    with subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
    assert process.returncode == 0, output[-4000:]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_command_that_its_page_does_not_run_says_why_or_where_it_runs(page: Path) -> None:
    for block in blocks(page):
        if block.language != "bash":
            continue
        assert re.fullmatch(r"|not run: \S.+|runs in \S+|background until (http|smtp)://\S+", block.mark), block.body
        if block.mark.startswith("runs in "):
            where = PROJECT / block.mark.removeprefix("runs in ")
            assert any(other.runs and other.body == block.body for other in blocks(where)), block.body


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files(page: Path) -> None:
    """Zensical only checks links between pages."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = [unquote(link.partition("#")[0]) for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [link for link in links if link and "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_generated_parts_are_up_to_date() -> None:
    check = [sys.executable, PROJECT / "docs" / "generate.py", "--check"]
    run = subprocess.run(check, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
