"""The JSON schema of `radar.yaml` accepts what Radar accepts, rejects typical mistakes, and describes every field."""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

import radar_assets
from radar_assets.config import Config, ConfigError, load_config

PROJECT = Path(radar_assets.__file__).parents[1]
SCHEMA = json.loads((resources.files("radar_assets") / "radar.schema.json").read_text())
VALID = """
metrics:
  - {name: searches, expression: count(*), source: events, good: up}
channels:
  - {name: team, type: email, to: [team@shop.example]}
  - {name: ops, type: telegram, token: env:TOKEN, chat: -100123, topic: 7}
  - {name: hook, type: webhook, url: env:URL, secrets: [env:KEY], headers: {Authorization: env:AUTH}}
rules:
  - name: searches_fell
    metric: searches
    projects: [shop]
    overrides: {shop: {threshold: -25.5}}
    window: 1h
    operator: change_pct
    threshold: -50
    for: 2
    renotify_every: 30m
    quiet_hours: {start: 22:00, end: 07:00, timezone: Europe/Berlin}
    channels: [team]
  - {name: daemon_is_alive, kind: error, watch: daemon, projects: "*"}
"""


class Yaml12(yaml.SafeLoader):
    """Reads scalars as editors do, by YAML 1.2, in which 22:00 is text; PyYAML reads YAML 1.1."""


Yaml12.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:int",)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Yaml12.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+$"), list("-+0123456789"))


def problems(text: str) -> list[tuple[str, str]]:
    """Where the schema rejects a file, and by which keyword; for a union, within the member that the file chose."""
    errors = Draft7Validator(SCHEMA).iter_errors(yaml.load(text, Yaml12))
    return [(".".join(map(str, error.absolute_path)), str(error.validator)) for error in errors]


def examples() -> list[Any]:
    """The examples of the file in the docs."""
    pages = [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]
    blocks = [
        pytest.param(body, id=page.name)
        for page in pages
        for title, body in re.findall(r'^```yaml(?: title="([^"]+)")?\n(.*?)^```$', page.read_text(), re.M | re.S)
        if title.endswith("radar.yaml") or (yaml.safe_load(body) or {}).keys() & Config.model_fields.keys()
    ]
    assert len(blocks) >= 4
    return blocks


def test_the_schema_is_valid() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("text", examples())
def test_the_examples_of_the_docs_pass(text: str) -> None:
    assert problems(text) == []


def test_a_file_that_radar_accepts_passes(tmp_path: Path) -> None:
    path = tmp_path / "radar.yaml"
    path.write_text(VALID)
    assert len(load_config(path).rules) == 2
    assert problems(VALID) == []
    assert problems("{}") == []


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("rules:", "rule:", ("", "additionalProperties")),
        ("threshold: -50", "treshold: -50", ("rules.0", "additionalProperties")),
        ("threshold: -50", 'threshold: "-50"', ("rules.0.threshold", "anyOf")),
        ("operator: change_pct", "operator: below", ("rules.0.operator", "enum")),
        ("window: 1h", "window: 2h", ("rules.0.window", "enum")),
        ("for: 2", "for: 0", ("rules.0.for", "minimum")),
        ("renotify_every: 30m", "renotify_every: 30 minutes", ("rules.0.renotify_every", "anyOf")),
        ("start: 22:00", "start: 25:00", ("rules.0.quiet_hours", "anyOf")),
        ("projects: [shop]", "projects: shop", ("rules.0.projects", "anyOf")),
        ("{threshold: -25.5}", "{thresholds: -25.5}", ("rules.0.overrides.shop", "additionalProperties")),
        ("expression: count(*), ", "", ("metrics.0", "required")),
        ("source: events", "source: clicks", ("metrics.0.source", "enum")),
        ("type: email", "type: pigeon", ("channels.0", "oneOf")),
        ("to: [team@shop.example]", "to: []", ("channels.0", "oneOf")),
        ("url: env:URL, ", "", ("channels.2", "oneOf")),
        ("channels: [team]", "channels: team", ("rules.0.channels", "type")),
    ],
)
def test_typical_mistakes_fail_as_they_do_in_radar(
    tmp_path: Path, before: str, after: str, problem: tuple[str, str]
) -> None:
    assert VALID.count(before) == 1
    path = tmp_path / "radar.yaml"
    path.write_text(VALID.replace(before, after))
    with pytest.raises(ConfigError):
        load_config(path)
    assert problems(path.read_text()) == [problem]


def test_every_field_is_described_and_no_other_is_allowed() -> None:
    for name, definition in {"radar.yaml": SCHEMA, **SCHEMA["$defs"]}.items():
        assert definition["additionalProperties"] is False, name
        assert definition["description"], name
        for field, schema in definition["properties"].items():
            assert schema["description"], (name, field)
