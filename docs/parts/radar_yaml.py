"""The sections of `radar.yaml`, from the models that it is validated with."""

import inspect
from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from parts.text import code, described_attributes, literals, markdown_table, sentence
from pydantic.fields import FieldInfo

from radar_assets.config import Config

WORDS: Mapping[str, str] = {
    "str": "text",
    "SecretStr": "text or `env:NAME`",
    "int": "integer",
    "float": "number",
    "bool": "true or false",
    "timedelta": "span such as `4h`",
    "time": "time such as `22:00`",
}
COMMON_FIELDS: Mapping[str, str] = {
    "name": "Name of the channel, which rules refer to. Lower case, with hyphens or underscores between words.",
    "type": "Kind of channel.",
    "host": "Host name or address of the server.",
    "port": "Port of the server. Default: that of HTTPS, or HTTP without `tls`.",
    "token": "Access token.",
    "power_automate": "Whether the URL is one of Power Automate.",
}
"""Fields that several channels have, described once. Docstrings of models take precedence."""


def radar_yaml_reference() -> str:
    """The sections of `radar.yaml`, with the fields of what they list."""
    parts = []
    for section, field in Config.model_fields.items():
        item = (get_args(field.annotation) or (field.annotation,))[0]
        models = [one for one in flattened(item) if hasattr(one, "model_fields")]
        parts.append(f"## {section}")
        for model in models:
            kind = model.model_fields.get("type") if len(models) > 1 else None
            parts += [f"### {get_args(kind.annotation)[0]}"] if kind else []
            parts += model_reference(model, nested=not kind)
    return "\n\n".join(parts)


def flattened(annotation: Any) -> list[Any]:
    """The members of a union, recursively; any other annotation as a list of itself."""
    if get_origin(annotation) is dict:
        return flattened(get_args(annotation)[1])
    if get_origin(annotation) is Literal:
        return []
    inner = [one for one in get_args(annotation) if not isinstance(one, FieldInfo | str)]
    return [leaf for one in inner for leaf in flattened(one)] if inner else [annotation]


def model_reference(model: Any, *, nested: bool) -> list[str]:
    """A table of the fields of a model; after it those of the models in its fields."""
    docs = field_docs(model)
    rows, inside = [], []
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else code(default_in_yaml(field.default))
        rows.append([code(field.alias or name), type_in_yaml(field), default, sentence(docs[name])])
        inside += [one for one in flattened(field.annotation) if nested and hasattr(one, "model_fields")]
    parts = [summary(model), markdown_table(("field", "type", "default", "description"), rows)]
    for one in inside:
        parts += [f"### {one.__name__}", *model_reference(one, nested=False)]
    return parts


def summary(model: Any) -> str:
    """The first paragraph of a model's docstring."""
    return " ".join(inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].split())


def field_docs(model: Any) -> dict[str, str]:
    """The description of each field of a model."""
    docs = dict(COMMON_FIELDS)
    for base in reversed(model.__mro__):
        if base.__module__.startswith("radar_"):
            docs |= described_attributes(inspect.cleandoc(base.__doc__ or ""))
    return docs | {name: field.description for name, field in model.model_fields.items() if field.description}


def default_in_yaml(value: object) -> str:
    """A default as it is written in the file; empty if the field is simply absent."""
    if value is None or value in ("", (), {}):
        return ""
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if value == "*" else str(value)


def type_in_yaml(field: FieldInfo) -> str:
    """What a field takes, in words."""
    annotation = field.annotation
    shape = str(annotation)
    names = []
    for leaf in flattened(annotation):
        if leaf in (NoneType, Ellipsis):
            continue
        name = getattr(leaf, "__name__", "")
        names.append(WORDS.get(name, f"[{name}](#{name.lower()})" if hasattr(leaf, "model_fields") else name))
    choices = literals(annotation)
    words = " or ".join(dict.fromkeys([*map(code, choices), *filter(None, names)]))
    if "tuple[" in shape or "list[" in shape:
        return f"{' or '.join(map(code, choices))} or list of text" if choices else f"list of {words}"
    return f"mapping to {words}" if "dict[" in shape else words
