"""Programs that tests run and that no Python package brings. Where one is missing, its tests are skipped and say how to install it."""

import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="tests in a browser need Chromium; on Debian: apt-get install chromium"
)


def find_program(name: str, package: str, tests: str) -> str:
    """The path of a program; skips the test that asks where it is not installed.

    Args:
        package: the Debian package that has it.
        tests: what is not tested without it, for the report.
    """
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{tests} need {name}; on Debian: apt-get install {package}")
    return path
