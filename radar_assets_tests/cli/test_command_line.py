"""The command line as a whole: the help is fast and complete, and errors are one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from radar_assets.cli import app
from radar_assets.config import Config
from radar_assets_tests.cli.conftest import Radar, in_a_process

COMMANDS = ["demo", "dev", "serve", "import", "simulate", "replay-rejected"]
COMMANDS += ["init", "apply", "schema", "rules", "channels", "alerts", "deliveries", "suppressions", "watch"]
COMMANDS += ["collect", "key", "project", "live", "sql", "status", "health", "doctor"]
COMMANDS += ["metrics", "snapshots", "diff", "inspect", "backfill", "upgrade", "maintain", "backup", "restore"]
COMMANDS += ["user", "token", "audit"]


def test_help_lists_every_command_with_what_it_does(radar: Radar) -> None:
    help = radar("--help")
    assert help.code == 0
    lines = [line.strip(" │") for line in help.out.splitlines()]
    described = {line.split()[0] for line in lines if len(line.split()) > 2}
    assert set(COMMANDS) <= described
    assert set(COMMANDS) == {name for name in app if not name.startswith("-") and app[name].show}


def test_without_a_command_the_help_is_shown(radar: Radar) -> None:
    assert radar("").out == radar("--help").out


@pytest.mark.parametrize("command", [*[name for name in COMMANDS if name != "project"], "project add", "project list"])
def test_every_option_is_described(radar: Radar, command: str) -> None:
    help = radar(f"{command} --help")
    assert help.code == 0
    options = [
        line.strip("│* ").split(maxsplit=2) for line in help.out.splitlines() if line.strip("│* ").startswith("--")
    ]
    assert options
    assert all(len(words) > 1 and "[" not in words[1] for words in options), options


@pytest.mark.parametrize("command", ["", "apply", "rules test", "status"])
def test_debug_is_the_last_option(radar: Radar, command: str) -> None:
    help = radar(f"{command} --help")
    options = [line.split()[0] for line in help.out.splitlines() if line.strip().startswith("--")]
    assert options[-1] == "--debug"


def test_the_help_has_frames_in_terminals_only(radar: Radar, terminal: Radar) -> None:
    assert "╭─ Options" in terminal("apply --help").out
    assert not {"╭", "│", "\x1b"} & {*radar("apply --help").out}


def test_every_noun_has_a_list(radar: Radar) -> None:
    nouns = [name for name in COMMANDS if app[name].default_command is None]
    assert {"project", "key", "rules", "channels", "alerts", "deliveries", "suppressions"} <= {*nouns}
    for noun in nouns:
        run = radar(f"{noun} list --format json")
        assert (run.code, json.loads(run.out) == []) == (0, noun != "metrics"), noun


def test_the_shell_completes_commands_options_and_values(
    radar: Radar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert radar("--install-completion bash").code == 0
    tries = {"al": "alerts", "alerts sn": "snooze", "status --for": "--format", "status --format j": "json"}
    for typed, completed in tries.items():
        words = f"radar {typed}".split()
        script = (
            f". ~/.bashrc; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _radar; echo ${{COMPREPLY[@]}}"
        )
        shell = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert shell.stdout.split() == [completed], typed
    assert radar("--show-completion fish").out.startswith("# Fish completion for radar")
    assert radar("--show-completion ksh").code == 2


def test_help_imports_nothing_heavy() -> None:
    # Timings depend on other load; the modules that make the help slow do not.
    script = """
import sys
from radar_assets.cli import main
try:
    main(["--help"])
except SystemExit:
    print(*sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""
    imported = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr.split()
    assert "rich" in imported
    assert not {"dagster", "duckdb", "pyarrow", "pyiceberg", "sqlalchemy", "pydantic", "numpy", "markdown_it"} & {
        *imported
    }


def test_the_schema_of_radar_yaml_is_printed_for_editors(radar: Radar) -> None:
    run = radar("schema")
    assert (run.code, run.err) == (0, "")
    assert set(json.loads(run.out)["properties"]) == set(Config.model_fields)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("frobnicate", "frobnicate"),
        ("sql", "STATEMENT"),
        ("sql 'select 1' --limt 3", "--limit"),
        ("demo --days many", "--days"),
        ("import f --format xls", "apache"),
        ("import f --format csv --map timestamp", "--map timestamp"),
    ],
)
def test_invalid_usage_is_reported_on_one_line_and_exits_with_2(radar: Radar, command: str, says: str) -> None:
    run = radar(command)
    assert (run.code, run.out) == (2, "")
    assert len(run.err.splitlines()) == 1
    assert run.err.startswith("radar: ")
    assert says in run.err


def test_an_invalid_setting_is_named_and_exits_with_2(radar: Radar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADAR_MEMORY", "plenty")
    run = radar("project list")
    assert (run.code, run.out) == (2, "")
    assert run.err == "radar: RADAR_MEMORY=plenty: not a size; use a number and a unit, e.g. 1GB\n"


@pytest.mark.parametrize("url", ["user:hunter2@mail.shop.example:587", "smtp://u:p#hunter2@h:25"])
def test_an_invalid_secret_setting_is_not_shown(tmp_path: Path, url: str) -> None:
    for command in ("project list", "project list --debug", "doctor"):
        run = in_a_process(command, tmp_path, RADAR_SMTP_URL=url)
        assert "RADAR_SMTP_URL: not a mail server URL" in run.stdout + run.stderr
        assert "hunter2" not in run.stdout + run.stderr


@pytest.mark.parametrize("url", ["radar:secret@db.shop.example/radar", "postgres://radar:secret@db.shop.example/radar"])
def test_an_invalid_database_url_is_not_shown(radar: Radar, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RADAR_DATABASE_URL", url)
    run = radar("project list")
    assert run.err.startswith("radar: RADAR_DATABASE_URL: ")
    assert "secret" not in run.err


def test_an_unreachable_database_is_reported_without_password_and_exits_with_1(
    radar: Radar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_DATABASE_URL", "postgresql://radar:secret@127.0.0.1:1/radar")
    run = radar("project list")
    assert (run.code, run.out) == (1, "")
    assert len(run.err.splitlines()) == 1
    assert "127.0.0.1:1" in run.err
    assert "secret" not in run.err


@pytest.mark.parametrize(("flag", "variable"), [(" --debug", {}), ("", {"RADAR_DEBUG": "1"})])
def test_the_traceback_is_shown_only_on_request(tmp_path: Path, flag: str, variable: dict[str, str]) -> None:
    home = tmp_path / "file"
    home.write_text("a file where a folder should be")
    plain = in_a_process("project list", home)
    assert plain.returncode == 2
    assert "Traceback" not in plain.stderr
    asked = in_a_process(f"project list{flag}", home, **variable)
    assert asked.returncode != 0
    assert "Traceback" in asked.stderr
    assert plain.stderr.removeprefix("radar: ").strip() in asked.stderr


def test_a_closed_output_pipe_is_not_an_error(in_shop: Path) -> None:
    script = "from radar_assets.cli import main; main(['sql', 'from range(10000000)', '--format', 'csv'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "range\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0
