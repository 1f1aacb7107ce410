"""The configuration file `radar.yaml`: what teams declare about the meaning of their data, validated when it is read.

The model of a section is in the layer that it is for; what an operator changes between deployments is in `settings.py`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from radar_assets.metrics.registry import CustomMetric

_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is no field that there is here",
    "model_type": "is not written as fields with values",
    "tuple_type": "is not written as a list",
    "string_type": "is no text; put it in quotes",
}


class ConfigError(Exception):
    """The configuration file is wrong; the message has a line for each mistake, with file, line and field."""


class Config(BaseModel):
    """What `radar.yaml` holds. Every section may be missing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: tuple[CustomMetric, ...] = ()


def load_config(path: Path, *, required: bool = False) -> Config:
    """Read the configuration file; without one, nothing is configured.

    Args:
        required: whether the file has to exist, because someone named it.

    Raises:
        ConfigError: the file can't be read, or what it says is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if required:
            raise ConfigError(f"{path}: there is no such file") from error
        return Config()
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path}: can't be read ({error})") from error
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        repeated = [f"{path}, line {_line(key)}: {key.value} is there twice" for key in _repeated_keys(root)]
        if repeated:
            raise ConfigError("\n".join(repeated))
        content = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}, line {line}: is no YAML ({error.problem})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is no YAML ({' '.join(str(error).split())})") from error
    try:
        return Config.model_validate({} if content is None else content, context={"names": set()})
    except ValidationError as error:
        problems = [_problem(path, root, problem) for problem in error.errors()]
        raise ConfigError("\n".join(problems)) from error


def _problem(path: Path, root: yaml.Node | None, problem: Any) -> str:
    """One mistake: file, line, field, what is wrong."""
    node, field, owner = root, "", ""
    for step in problem["loc"]:
        name = _child(node, "name")
        owner = f" of {name.value}" if isinstance(name, yaml.ScalarNode) else owner
        field += f"[{step}]" if isinstance(step, int) else f".{step}" if field else step
        node = _child(node, step) or node
    message = _MESSAGES.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    return f"{path}, line {_line(node)}: {field or 'the file'}{owner}: {message}"


def _child(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    return None


def _repeated_keys(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """Keys that their mapping has already, of which YAML would silently take the last."""
    waiting, met = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in met:  # an alias, which may even stand within what it stands for
            continue
        met.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in node.value]
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            first = {key.value: key for key in reversed(keys)}
            yield from (key for key in keys if key is not first[key.value])


def _line(node: yaml.Node | None) -> int:
    return node.start_mark.line + 1 if node else 1
