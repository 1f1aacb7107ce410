"""Reading settings from `RADAR_*` environment variables.

A layer declares its settings in `<layer>/settings.py`; the root's `settings.py` composes them.
"""

import os
import re
import sys
from dataclasses import dataclass
from functools import cache
from typing import Self, get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from radar_assets.errors import UsageError
from radar_assets.masking import masked


class SettingsError(UsageError):
    """A setting is invalid. The message names the variable and the fix."""


@dataclass(frozen=True)
class FormerName:
    """A variable that a setting was read from in earlier versions. It still works unless the new one is set too."""

    variable: str


class EnvironmentSettings(BaseSettings):
    """Base of all settings. Each field is read from the environment variable `RADAR_<FIELD>`."""

    model_config = SettingsConfigDict(
        env_prefix="RADAR_", frozen=True, extra="ignore", validate_default=True, hide_input_in_errors=True
    )

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the settings of this class from the environment.

        Args:
            overrides: values that take precedence over the environment.

        Raises:
            SettingsError: a value is invalid. The message has each variable, its value unless that is secret, and what is expected.
        """
        for field, info in cls.model_fields.items():
            for former in info.metadata:
                new = f"RADAR_{field.upper()}"
                if isinstance(former, FormerName) and former.variable in os.environ and new not in os.environ:
                    _note_former_name(former.variable, new)
                    overrides.setdefault(field, os.environ[former.variable])
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
