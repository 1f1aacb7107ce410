"""Settings that were renamed still work under their former name."""

import subprocess
import sys

import pytest

from radar_assets.settings import load_settings


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
