"""The JSON schema of `radar.yaml`, which editors complete and validate the file with, from the models that Radar validates it with."""

import json
from collections.abc import Iterator
from typing import Any

from parts.radar_yaml import field_docs, flattened, summary
from parts.text import sentence
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from radar_assets.config import Config

# The version that editors support best: yaml-language-server validates with draft 4 and 7.
DIALECT = "http://json-schema.org/draft-07/schema#"
SPAN = r"^[1-9][0-9]{0,4}[mhd]$"
TIME_OF_DAY = r"^([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"


class AsWritten(GenerateJsonSchema):
    """Describes values as people write them in the file, where pydantic's default is how JSON is usually serialized."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No titles: they repeat the names."""
        return False

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> dict[str, Any]:
        """Spans are written as `30m`, `4h` or `2d`."""
        return {"type": "string", "pattern": SPAN}

    def time_schema(self, schema: core_schema.TimeSchema) -> dict[str, Any]:
        """Times of day are written as `22:00`."""
        return {"type": "string", "pattern": TIME_OF_DAY}

    def str_schema(self, schema: core_schema.StringSchema) -> dict[str, Any]:
        """Some ids may be written without quotes."""
        written = super().str_schema(schema)
        return written | {"type": ["string", "integer"]} if schema.get("coerce_numbers_to_str") else written


def radar_json_schema() -> str:
    """The JSON schema."""
    schema = Config.model_json_schema(schema_generator=AsWritten)
    described = {model.__name__: model for model in models_in(Config)}
    for name, definition in [(Config.__name__, schema), *schema["$defs"].items()]:
        describe(definition, described[name])
    return json.dumps({"$schema": DIALECT, **simplified(schema), "title": "radar.yaml"}, indent=2) + "\n"


def models_in(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model, and those in its fields."""
    yield model
    for field in model.model_fields.values():
        for inner in flattened(field.annotation):
            if hasattr(inner, "model_fields"):
                yield from models_in(inner)


def describe(definition: dict[str, Any], model: type[BaseModel]) -> None:
    """Add what the docs say about a model and its fields."""
    definition["description"] = summary(model)
    docs = field_docs(model)
    for name, field in model.model_fields.items():
        secret = (
            " Use `env:NAME` to read it from an environment variable." if "SecretStr" in str(field.annotation) else ""
        )
        definition["properties"][field.alias or name]["description"] = sentence(docs[name]) + secret


def simplified(schema: Any) -> Any:
    """The schema without parts that editors ignore: null defaults, OpenAPI's discriminators, password formats."""
    if isinstance(schema, list):
        return [simplified(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    dropped = {"discriminator", "writeOnly"} | ({"format"} if schema.get("format") == "password" else set())
    dropped |= {"default"} if schema.get("default", 0) is None else set()
    return {key: simplified(value) for key, value in schema.items() if key not in dropped}
