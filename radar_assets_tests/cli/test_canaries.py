"""Secrets in settings are never shown: not in output, errors, tracebacks, Dagster's instance or files."""

from pathlib import Path

import pytest

from radar_assets.masking import masked
from radar_assets.settings import Settings, SettingsError, load_settings
from radar_assets_tests.cli.conftest import Radar, in_a_process
from radar_assets_tests.platform import instance_of

CANARY = "c4n4ry"
SCHEMES = {
    "landing_url": ("s3", "file"),
    "warehouse_url": ("file",),
    "database_url": ("postgresql", "sqlite", "mysql"),
    "redis_url": ("redis", "rediss"),
    "ui_url": ("https", "http"),
    "smtp_url": ("smtp", "smtps"),
}
PLACES = (
    f"user:{CANARY}@127.0.0.1:1/x",
    f"{CANARY}@127.0.0.1:1/x",
    f"user:a@{CANARY}@127.0.0.1:1/x",
    f"user:{CANARY}@b@127.0.0.1:1/x",
    f"user:a/{CANARY}@127.0.0.1:1/x",
    f"user:1/{CANARY}@127.0.0.1:1/x",
    f"user:a?{CANARY}@127.0.0.1:1/x",
    f"user:1#{CANARY}@127.0.0.1:1/x",
    f"user:a b{CANARY}\n@127.0.0.1:1/x",
    f"127.0.0.1:1/x?password={CANARY}",
    f"127.0.0.1:1/x?sslmode=disable&sslpassword={CANARY}",
    f"127.0.0.1:1/x?a=b&pass%77ord=a{CANARY}@b",
    f"127.0.0.1:1/x?API_KEY={CANARY}#b",
    f"127.0.0.1:{CANARY}@x/x",
)
OUT_OF_REACH = {
    "RADAR_DATABASE_URL": f"postgresql://user:{CANARY}@127.0.0.1:1/x?sslpassword={CANARY}",
    "RADAR_REDIS_URL": f"redis://user:{CANARY}@127.0.0.1:1/0?password={CANARY}",
    "RADAR_SMTP_URL": f"smtp://{CANARY}:a@{CANARY}@127.0.0.1:1",
}


@pytest.mark.parametrize("field", Settings.model_fields)
def test_settings_are_shown_without_their_secrets(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [f"{scheme}://{index}" for scheme in SCHEMES.get(field, ("postgresql",)) for index in PLACES]
    if field in SCHEMES:
        urls.append(PLACES[0])
    for url in urls:
        monkeypatch.setenv(f"RADAR_{field.upper()}", url)
        try:
            settings = load_settings()
        except SettingsError as error:
            assert str(error).startswith(f"RADAR_{field.upper()}")
            assert CANARY not in str(error), url
        else:
            assert CANARY not in masked(getattr(settings, field)), url
            # Settings that are not secret are shown in messages as they are written.
            assert field not in SCHEMES or CANARY not in f"{settings!r} {settings.landing_zone} {settings.warehouse}"


def test_values_that_are_not_secret_are_shown() -> None:
    assert masked("postgresql://user:a@b@db.shop.example:5432/radar?sslmode=require&password=c") == (
        "postgresql://***@db.shop.example:5432/radar?sslmode=require&password=***"
    )
    for url in ("sqlite:////home/a@b/radar.db", "s3://bucket/a/b", "Radar <alerts@shop.example>", "10.0.0.0/8, ::1"):
        assert masked(url) == url


@pytest.mark.parametrize("command", ["doctor", "status", "collect --port 18437", "apply"])
def test_commands_show_no_secret_of_unreachable_servers(
    radar: Radar, radar_home: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, url in OUT_OF_REACH.items():
        monkeypatch.setenv(variable, url)
    radar_home.mkdir()
    (radar_home / "radar.yaml").write_text("rules: []\n")
    run = radar(command)
    assert "://***@127.0.0.1:1/x?sslpassword=***" in run.out + run.err
    assert CANARY not in run.out + run.err


def test_a_traceback_shows_no_secret(radar_home: Path) -> None:
    run = in_a_process("--debug project list", radar_home, **OUT_OF_REACH)
    assert "Traceback" in run.stderr
    assert "://***@127.0.0.1:1/x?sslpassword=***" in run.stderr
    assert CANARY not in run.stdout + run.stderr


def test_dagsters_instance_and_the_files_of_the_home_contain_no_secret(
    radar: Radar, radar_home: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, url in OUT_OF_REACH.items():
        monkeypatch.setenv(variable, url)
    monkeypatch.setenv(
        "RADAR_DATABASE_URL", postgres_url.replace("radar@", f"radar:{CANARY}@") + f"&sslpassword={CANARY}"
    )
    for command in ("doctor", "status", "project add shop"):
        run = radar(command)
        assert "can't be used" not in run.out + run.err
        assert CANARY not in run.out + run.err
    with instance_of(load_settings()) as instance:
        # The first is on the command line of all children, the second on a page of the UI.
        assert CANARY not in f"{instance.get_ref()} {instance.info_str()}"
    assert [file for file in radar_home.rglob("*") if file.is_file() and CANARY.encode() in file.read_bytes()] == []
