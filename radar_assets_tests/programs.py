"""External programs that tests run. If one is missing, its tests are skipped and say how to install it."""

import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="tests in a browser need Chromium; on Debian: apt-get install chromium"
)


def find_program(name: str, package: str, tests: str) -> str:
    """The path of a program. Skips the test if it is not installed.

    Args:
        package: its Debian package.
        tests: what its tests cover, for the report.
    """
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{tests} need {name}; on Debian: apt-get install {package}")
    return path
