"""The settings: the table of the reference, and `.env.example`."""

import textwrap
from typing import get_args

from parts.text import code, markdown_table
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from radar_assets.settings import Settings

WIDTH = 100


ENV_HEADER = """\
# Settings of Radar, all of them optional. Copy this file to .env, uncomment what you change, and load it into the environment,
# for example with systemd's EnvironmentFile= or docker run --env-file. docs/reference/settings.md describes the same settings.
"""


def default_of(field: FieldInfo) -> str:
    """The default of a setting, as it would be written; empty if the description states it."""
    if field.default_factory is not None:
        return "number of CPUs"
    if field.default in (None, ""):
        return ""
    return (
        str(field.default).lower()
        if isinstance(field.default, bool)
        else f"{field.default:g}"
        if isinstance(field.default, float)
        else str(field.default)
    )


def settings_table() -> str:
    """All settings."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = default_of(field)
        shown = default if default == "number of CPUs" else code(default)
        secret = " Secret." if SecretStr in (field.annotation, *get_args(field.annotation)) else ""
        rows.append([f'<a id="radar_{name}"></a>`RADAR_{name.upper()}`', shown, f"{field.description or ''}{secret}"])
    return markdown_table(("variable", "default", "description"), rows)


def env_example() -> str:
    """`.env.example`."""
    parts = [ENV_HEADER]
    for name, field in Settings.model_fields.items():
        default = default_of(field)
        value = "" if default == "number of CPUs" else default
        parts.append(f"{wrapped(field.description or '')}\n#RADAR_{name.upper()}={value}\n")
    return "\n".join(parts)


def wrapped(text: str) -> str:
    """Text as comment lines."""
    return textwrap.fill(" ".join(text.split()), WIDTH, initial_indent="# ", subsequent_indent="# ")
