"""The settings: the table of the reference, and `.env.example`."""

import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import get_args

from parts.text import code, markdown_table
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from radar_assets.settings import Settings

WIDTH = 100


ENV_HEADER = """\
# Settings of Radar, all of them optional. Copy this file to .env in the home (~/.radar/.env) and uncomment what you change. Or
# load it into the environment, for example with systemd's EnvironmentFile= or docker run --env-file.
# docs/reference/settings.md describes the same settings.
"""


def default_of(field: FieldInfo) -> str:
    """The default of a setting, as it would be written; empty if the description states it."""
    if field.default_factory is not None:
        return "number of CPUs"
    if field.default in (None, "", ()):
        return ""
    return (
        str(field.default).lower()
        if isinstance(field.default, bool)
        else f"{field.default:g}"
        if isinstance(field.default, float)
        else str(field.default)
    )


def groups() -> Iterator[tuple[str, Mapping[str, FieldInfo]]]:
    """The settings by what they are about, which is the first word of the docstring of the class that declares them."""
    for declared_by in reversed(Settings.__mro__):
        own = inspect.get_annotations(declared_by)
        if fields := {name: field for name, field in Settings.model_fields.items() if name in own}:
            yield (inspect.getdoc(declared_by) or "").partition(":")[0], fields


def settings_table() -> str:
    """All settings, a table for each group."""
    parts = []
    for about, fields in groups():
        rows = []
        for name, field in fields.items():
            default = default_of(field)
            shown = default if default == "number of CPUs" else code(default)
            secret = " Secret." if SecretStr in (field.annotation, *get_args(field.annotation)) else ""
            variable = f'<a id="radar_{name}"></a>`RADAR_{name.upper()}`'
            rows.append([variable, shown, f"{field.description or ''}{secret}"])
        parts += [f"### {about}", markdown_table(("variable", "default", "description"), rows)]
    return "\n\n".join(parts)


def env_example() -> str:
    """`.env.example`."""
    parts = [ENV_HEADER]
    for about, fields in groups():
        parts.append(f"# --- {about} ---\n")
        for name, field in fields.items():
            default = default_of(field)
            value = "" if default == "number of CPUs" else default
            parts.append(f"{wrapped(field.description or '')}\n#RADAR_{name.upper()}={value}\n")
    return "\n".join(parts)


def wrapped(text: str) -> str:
    """Text as comment lines."""
    return textwrap.fill(" ".join(text.split()), WIDTH, initial_indent="# ", subsequent_indent="# ")
