"""Training settings from a file, from ``--set``, and from their defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from unveil.config.base import Config
from unveil.config.explanation import explain
from unveil.errors import ConfigError
from unveil.io.settings import read_settings

Settings = TypeVar("Settings", bound=Config)

_TAGS = ("kind", "method")
"""Fields that tell alternatives apart: another tag replaces the alternative instead of changing it."""


def gather(kind: type[Settings], file: Path | None, assignments: Iterable[str], **defaults: Any) -> Settings:
    """Build settings: what `kind` holds by default, changed by `defaults`, `file` and `assignments`, in that order.

    Parameters
    ----------
    assignments
        ``KEY=VALUE`` with dotted keys (``augmentation.flips=false``), values read as YAML.

    Raises
    ------
    ConfigError
        If a setting does not exist, is out of bounds, or cannot be read.
    """
    from pydantic import ValidationError

    given: dict[str, Any] = dict(defaults)
    if file is not None:
        given = merged(given, read_settings(file))
    for assignment in assignments:
        given = merged(given, parse_assignment(assignment))
    try:
        return kind.model_validate(merged(kind().model_dump(), given))
    except ValidationError as failure:
        is_unknown = any(error["type"] == "extra_forbidden" for error in failure.errors())
        known = f"The settings are {', '.join(kind.model_fields)}." if is_unknown else "Change them, and try again."
        raise ConfigError(f"The training settings do not fit: {explain(failure)}. {known}") from failure


def parse_assignment(assignment: str) -> dict[str, Any]:
    """Turn ``a.b=VALUE`` into ``{"a": {"b": value}}``, the value read as YAML.

    Raises
    ------
    ConfigError
        If there is no key, no ``=``, or the value is no YAML.
    """
    import yaml

    key, equals, text = assignment.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"'--set {assignment}' is no KEY=VALUE. Write for example --set augmentation.flips=false.")
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError as failure:
        raise ConfigError(f"The value in '--set {assignment}' is no valid YAML. Quote it, or mend it.") from failure
    for part in reversed(parts):
        value = {part: value}
    return dict(value)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes`, mapping by mapping; a mapping of another kind replaces the earlier one."""
    result = dict(base)
    for key, value in changes.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping) and not _is_other_kind(before, value):
            result[key] = merged(before, value)
        else:
            result[key] = value
    return result


def _is_other_kind(before: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return any(tag in value and value[tag] != before.get(tag) for tag in _TAGS)
