"""Reading settings from `RADAR_*` environment variables, and from the file `.env` in the home.

A layer declares its settings in `<layer>/settings.py`; the root's `settings.py` composes them.
"""

import io
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self, get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from radar_assets.errors import UsageError
from radar_assets.masking import masked

DEFAULT_HOME = "~/.radar"


def home_of_process() -> Path:
    """The home, which only the environment can name: it has the file with the other variables."""
    return Path(os.environ.get("RADAR_HOME", DEFAULT_HOME)).expanduser()


def variables(home: Path | None = None) -> Mapping[str, str]:
    """The environment variables, and those of the file `.env` in the home that the environment doesn't have.

    All commands of a home find the same variables there, whatever the terminal or service manager that starts them has set.

    Raises:
        SettingsError: the file can't be read.
    """
    from dotenv import dotenv_values

    file = (home or home_of_process()) / ".env"
    try:
        found = dotenv_values(stream=io.StringIO(file.read_text(encoding="utf-8")), interpolate=False)
    except (FileNotFoundError, NotADirectoryError):
        found = {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"can't read {file}: {getattr(error, 'strerror', 'not UTF-8')}") from error
    return {**{name: value for name, value in found.items() if value is not None}, **os.environ}


class SettingsError(UsageError):
    """A setting is invalid. The message names the variable and the fix."""


@dataclass(frozen=True)
class FormerName:
    """A variable that a setting was read from in earlier versions. It still works unless the new one is set too."""

    variable: str


class EnvironmentSettings(BaseSettings):
    """Base of all settings. Each field is read from the variable `RADAR_<FIELD>`; see `variables`."""

    model_config = SettingsConfigDict(
        env_prefix="RADAR_", frozen=True, extra="ignore", validate_default=True, hide_input_in_errors=True
    )

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the settings of this class from the environment and the home's `.env`.

        Args:
            overrides: values that take precedence over the environment.

        Raises:
            SettingsError: a value is invalid. The message has each variable, its value unless that is secret, and what is expected.
        """
        home = overrides.get("home")
        given = variables(Path(str(home)).expanduser() if home else None)
        for field, info in cls.model_fields.items():
            new = f"RADAR_{field.upper()}"
            for former in info.metadata:
                if isinstance(former, FormerName) and former.variable in given and new not in given:
                    _note_former_name(former.variable, new)
                    overrides.setdefault(field, given[former.variable])
            # The environment is read by pydantic. The home has its file; it is not moved by it.
            if new in given and new not in os.environ and field != "home":
                overrides.setdefault(field, given[new])
        try:
            return cls(**overrides)  # pyright: ignore[reportArgumentType]
        except ValidationError as error:
            # Raised outside, without the validation error as context: it contains the values.
            problems = error.errors()
        raise SettingsError(
            "\n".join(cls._message(str(problem["loc"][0]), problem["input"], problem["msg"]) for problem in problems)
        )

    @classmethod
    def _message(cls, field: str, value: object, problem: str) -> str:
        """The message for an invalid setting. Masking relies on a valid format, so nothing of an invalid secret is shown."""
        known = cls.model_fields.get(field)
        is_secret = known is not None and SecretStr in (known.annotation, *get_args(known.annotation))
        shown = "" if is_secret else f"={masked(value)}"
        problem = re.sub("^Input should be", "must be", problem.removeprefix("Value error, "))
        return f"RADAR_{field.upper()}{shown}: {problem}"


@cache
def _note_former_name(old: str, new: str) -> None:
    """Print a notice, once per process."""
    print(f"{old} is deprecated; set {new} instead.", file=sys.stderr)
