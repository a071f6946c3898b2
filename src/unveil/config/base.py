"""The common base of all settings."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from unveil.config.explanation import explain
from unveil.errors import ConfigError


class Config(BaseModel):
    """Frozen settings that refuse unknown fields; a field's docstring is its one description everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    @classmethod
    def from_values(cls, given: Self | Mapping[str, Any]) -> Self:
        """Return settings that were given as such, or by name and value: ``{"threshold": 0.4}``.

        Raises
        ------
        ConfigError
            If they are neither, or a value does not fit.
        """
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"Found {type(given).__name__} where {cls.__name__} is expected, or names and values for it. "
                f"Give {cls.__name__}(…)."
            )
        try:
            return cls.model_validate(given)
        except ValidationError as failure:
            raise ConfigError(f"The settings do not fit {cls.__name__}: {explain(failure)}. Change them.") from failure

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Take the docstrings of the class's own fields for their descriptions.

        Pydantic would too (`use_attribute_docstrings`), but before Python 3.13 it looks for each class in every module
        that is loaded, and napari loads two thousand.
        """
        for name, text in _field_docstrings(cls.__module__).get(cls.__qualname__, {}).items():
            cls.model_fields[name].description = text


@cache
def _field_docstrings(module: str) -> dict[str, dict[str, str]]:
    """Return, for each class at the top of a module, what stands below its fields; nothing where there is no source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:  # typed in by hand, or shipped without source
        return {}
    return {node.name: dict(_documented(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _documented(node: ast.ClassDef) -> list[tuple[str, str]]:
    return [
        (field.target.id, " ".join(below.value.value.split()))
        for field, below in pairwise(node.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    ]
