"""Settings: each layer loads its own, all are loaded together, and former names work."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from radar_assets.environment import EnvironmentSettings, variables
from radar_assets.settings import Settings, SettingsError, load_settings


def test_allowed_hosts_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().allowed_hosts == ()
    monkeypatch.setenv("RADAR_ALLOWED_HOSTS", "10.0.0.0/8, hooks.internal,")
    assert load_settings().allowed_hosts == ("10.0.0.0/8", "hooks.internal")


def test_a_former_name_works_with_one_notice_and_the_new_name_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "from radar_assets.settings import load_settings as load; load(); print(load().allowed_hosts)"
    monkeypatch.setenv("RADAR_ALERT_ALLOWED_HOSTS", "10.0.0.1")
    old = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert old.stdout == "('10.0.0.1',)\n"
    assert old.stderr == "RADAR_ALERT_ALLOWED_HOSTS is deprecated; set RADAR_ALLOWED_HOSTS instead.\n"
    monkeypatch.setenv("RADAR_ALLOWED_HOSTS", "10.0.0.2")
    new = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (new.stdout, new.stderr) == ("('10.0.0.2',)\n", "")


@pytest.mark.parametrize("declared", Settings.__mro__[1 : Settings.__mro__.index(EnvironmentSettings)])
def test_a_layer_loads_its_own_settings(declared: type[EnvironmentSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADAR_MEMORY", "a lot")
    monkeypatch.setenv("RADAR_ALERT_THROTTLE_PER_HOUR", "0")
    wrong = {f"RADAR_{name.upper()}" for name in ("memory", "alert_throttle_per_hour") if name in declared.model_fields}
    if not wrong:
        assert declared.load().model_fields_set <= {"home"}
        return
    with pytest.raises(SettingsError) as raised:
        declared.load()
    assert {line.partition("=")[0] for line in str(raised.value).splitlines()} == wrong


def test_each_setting_is_declared_once() -> None:
    own = [name for declared in Settings.__mro__ for name in inspect.get_annotations(declared)]
    assert sorted(name for name in own if name in Settings.model_fields) == sorted(Settings.model_fields)


def test_the_home_has_variables_that_the_environment_lacks(radar_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    radar_home.mkdir()
    (radar_home / ".env").write_text(
        "# comment\nRADAR_SMTP_FROM='Radar <me@shop.example>'\nRADAR_SMTP_URL=smtp://a:p${w}@mail.example\n"
        "RADAR_ALERT_ALLOWED_HOSTS=10.0.0.1\nRADAR_HOME=/elsewhere\nTOKEN=found\n"
    )
    settings = load_settings()
    assert settings.smtp_from == "Radar <me@shop.example>"
    assert settings.smtp_url and settings.smtp_url.get_secret_value() == "smtp://a:p${w}@mail.example"
    assert settings.allowed_hosts == ("10.0.0.1",), "former names work too"
    assert settings.home == radar_home, "the home has the file, so the file does not name the home"
    assert variables()["TOKEN"] == "found"
    monkeypatch.setenv("RADAR_SMTP_FROM", "other@shop.example")
    assert load_settings().smtp_from == "other@shop.example"
    (radar_home / ".env").write_text("RADAR_MEMORY=a lot\n")
    with pytest.raises(SettingsError, match="RADAR_MEMORY=a lot"):
        load_settings()
