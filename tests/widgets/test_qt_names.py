"""Attributes of our widgets hide nothing of Qt: PySide6 takes them for overrides, and ends the process."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from qtpy.QtCore import QObject

import unveil.widgets

MODULES = [f"unveil.widgets.{module.name}" for module in pkgutil.iter_modules(unveil.widgets.__path__)]


def attributes_set(node: ast.ClassDef) -> Iterator[str]:
    for part in ast.walk(node):
        if (
            isinstance(part, ast.Attribute)
            and isinstance(part.ctx, ast.Store)
            and isinstance(part.value, ast.Name)
            and part.value.id == "self"
        ):
            yield part.attr


@pytest.mark.parametrize("name", MODULES)
def test_no_attribute_hides_one_of_qt(name: str) -> None:
    module = importlib.import_module(name)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    for node in tree.body:
        ours = getattr(module, node.name, None) if isinstance(node, ast.ClassDef) else None
        if isinstance(node, ast.ClassDef) and isinstance(ours, type) and issubclass(ours, QObject):
            qts = {attribute for base in ours.__mro__ if "Qt" in base.__module__ for attribute in vars(base)}
            assert not qts.intersection(attributes_set(node)), node.name
