"""The configuration file `radar.yaml`: what teams declare about the meaning of their data, validated when it is read.

The model of a section is in the layer that it is for; what an operator changes between deployments is in `settings.py`. Metrics are
read wherever definitions load; rules and channels by `radar apply`, which puts them into the store.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from radar_assets.alerts.rules import Rule
from radar_assets.messaging.channel import ChannelSpec
from radar_assets.messaging.channels import AnyChannel
from radar_assets.metrics.registry import CustomMetric, registry

_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is no field that there is here",
    "model_type": "is not written as fields with values",
    "tuple_type": "is not written as a list",
    "string_type": "is no text; put it in quotes",
    "union_tag_not_found": "has no type",
}


_Model = TypeVar("_Model", bound=BaseModel)


class ConfigError(Exception):
    """The configuration file is wrong; the message has a line for each mistake, with file, line and field."""


class Config(BaseModel):
    """What `radar.yaml` holds. Every section may be missing.

    The order of the fields is that in which they are validated: rules name metrics and channels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    metrics: tuple[CustomMetric, ...] = ()
    channels: tuple[AnyChannel, ...] = ()
    rules: tuple[Rule, ...] = ()

    @field_validator("metrics")
    @classmethod
    def _can_be_named(cls, metrics: tuple[CustomMetric, ...], info: ValidationInfo) -> tuple[CustomMetric, ...]:
        if info.context is not None:
            info.context["metrics"] = {metric.name: metric for metric in registry(metrics)}
        return metrics

    @field_validator("channels")
    @classmethod
    def _are_told_apart(cls, channels: tuple[ChannelSpec, ...], info: ValidationInfo) -> tuple[ChannelSpec, ...]:
        names = [channel.name for channel in channels]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"the name {sorted(twice)[0]} is there twice")
        if info.context is not None:
            info.context["channels"] = names
        return channels


class _Metrics(BaseModel):
    """The section that definitions need; what others say is not looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: tuple[CustomMetric, ...] = ()
    channels: Any = None
    rules: Any = None


def load_config(path: Path, *, required: bool = False, allowed_hosts: Sequence[str] = ()) -> Config:
    """Read the configuration file; without one, nothing is configured.

    Args:
        required: whether the file has to exist, because someone named it.
        allowed_hosts: hosts and networks that channels may send to although they are not public.

    Raises:
        ConfigError: the file can't be read, or what it says is wrong.
    """
    return _load(path, Config, {"names": set(), "rules": set(), "allowed_hosts": allowed_hosts}, required=required)


def load_metrics(path: Path, *, required: bool = False) -> tuple[CustomMetric, ...]:
    """Read the metrics of the configuration file alone, as `load_config` does."""
    return _load(path, _Metrics, {"names": set()}, required=required).metrics


def _load(path: Path, model: type[_Model], context: dict[str, Any], *, required: bool) -> _Model:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if required:
            raise ConfigError(f"{path}: there is no such file") from error
        return model()
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
        raise ConfigError(f"{path}, line {line}: is no YAML ({error.problem})") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is no YAML ({' '.join(str(error).split())})") from None
    try:
        return model.model_validate({} if content is None else content, context=context)
    except ValidationError as error:
        problems = [_problem(path, root, problem) for problem in error.errors()]
        raise ConfigError("\n".join(problems)) from None


def _problem(path: Path, root: yaml.Node | None, problem: Any) -> str:
    """One mistake: file, line, field, what is wrong."""
    node, field, owner = root, "", ""
    for step in problem["loc"]:
        if isinstance(node, yaml.MappingNode) and _child(node, step) is None and step in _tags(node):
            continue  # what pydantic says of which member of a union it is at
        name = _child(node, "name")
        owner = f" of {name.value}" if isinstance(name, yaml.ScalarNode) else owner
        field += f"[{step}]" if isinstance(step, int) else f".{step}" if field else step
        node = _child(node, step) or node
    name = _child(node, "name")
    owner = f" of {name.value}" if isinstance(name, yaml.ScalarNode) else owner
    message = _MESSAGES.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "union_tag_invalid":
        message = f"there is no type {problem['ctx']['tag']:.80}; there are {problem['ctx']['expected_tags']}"
    return f"{path}, line {_line(node)}: {field or 'the file'}{owner}: {message}"


def _tags(node: yaml.Node) -> list[str]:
    kind = _child(node, "type")
    return [kind.value] if isinstance(kind, yaml.ScalarNode) else []


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
