"""On a machine with only Python, the tests pass and the report says what was skipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[1]
FILES = ("collector/test_radar_js.py", "collector/test_limits.py", "collector/test_sdks.py")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The output of pytest for tests that need other programs, without these."""
    command = [sys.executable, "-m", "pytest", "-n", "1", "-k", "radar_js or redis or node"]
    command += [f"radar_assets_tests/{file}" for file in FILES]
    environment = {**os.environ, "PATH": str(tmp_path_factory.mktemp("empty"))}
    done = subprocess.run(command, cwd=CLONE, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("package", ["chromium", "redis-server", "nodejs"])
def test_the_report_says_how_to_install_what_is_missing(report: str, package: str) -> None:
    lines = [line for line in report.splitlines() if line.endswith(f"on Debian: apt-get install {package}")]
    assert len(lines) == 1, report
    assert " skipped: " in lines[0]
