"""Any config class as a form: one row per field, its tooltip from the field's docstring.

=====================================  =====================================================
annotation                             row
=====================================  =====================================================
``Literal``                            choice, with "automatic" first where it may be ``None``
``bool``                               tick
``int``, ``float`` within bounds       spin box
number or ``None``                     spin box whose lowest step says "automatic"
``Literal`` or ``float``               choice with "number" as its last, and a spin box for it
``str``                                line of text
``tuple``                              line of text in Python's notation
another config                         the fields of that config, in a group of their own
another config or ``None``             choice of "automatic" and "own values", and the group for these
one of several configs                 choice among their kinds, and the group of the one chosen
=====================================  =====================================================
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

import annotated_types
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSpinBox,
    LineEdit,
    LiteralEvalLineEdit,
    SpinBox,
    Widget,
)
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QWidget

from unveil.config.explanation import explain
from unveil.config.options import RESCALE_FACTORS
from unveil.errors import ConfigError
from unveil.widgets.decimal_key import DecimalKey

C = TypeVar("C", bound=BaseModel)

_AUTOMATIC = "automatic"
_NUMBER = "number"
_OWN = "own values"
_SMALLEST = 1e-5
"""Of a number that may be of any magnitude."""
_UNITS = {"px": "px", "um": "µm", "s": "s"}


@dataclass(frozen=True, slots=True)
class _Row:
    """One field of the form."""

    widget: Widget
    read: Callable[[], Any]
    write: Callable[[Any], None]


class ConfigForm(Generic[C]):
    """A form for `config`, or for some of its fields.

    Parameters
    ----------
    fields
        Names of the fields to show, in order; all if not given. The others keep their defaults.
    """

    def __init__(self, config: type[C], fields: Sequence[str] | None = None) -> None:
        self._config = config
        self._rows = {name: _row(name, config.model_fields[name]) for name in fields or _fields(config)}
        self.native = QWidget()
        self._layout = QFormLayout(self.native)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for row in self._rows.values():
            self._layout.addRow(row.widget.label, row.widget.native)

    @property
    def widgets(self) -> dict[str, Any]:
        """The magicgui widgets by field; connect to their `changed`."""
        return {name: row.widget for name, row in self._rows.items()}

    def add_row(self, label: str, widget: QWidget) -> None:
        """Add a row that is no field of the config."""
        self._layout.addRow(label, widget)

    def show_only(self, names: Collection[str]) -> None:
        """Show the rows of these fields alone, and no form at all where there are none."""
        for name, row in self._rows.items():
            row.widget.native.setVisible(name in names)
            self._layout.labelForField(row.widget.native).setVisible(name in names)
        self.native.setVisible(bool(names))

    def values(self) -> dict[str, Any]:
        """Return what the form says, by field."""
        return {name: row.read() for name, row in self._rows.items()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Write `values` into the form; fields that it does not show are passed over."""
        for name, value in values.items():
            if name in self._rows:
                self._rows[name].write(value)

    def config(self, **others: Any) -> C:
        """Build the config from the form and from `others`, fields that it does not show.

        Raises
        ------
        ConfigError
            If the values contradict each other.
        """
        try:
            return self._config(**{**self.values(), **others})
        except ValidationError as error:
            fields = self._config.model_fields
            problems = explain(error, lambda key: _label(key.split(".")[0], fields.get(key.split(".")[0])))
            raise ConfigError(f"The settings do not fit: {problems}. Change them, and try again.") from error


def _row(name: str, field: FieldInfo) -> _Row:
    """Choose the widget for one field; its value is the field's default."""
    basics = {"name": name, "label": _label(name, field), "tooltip": " ".join((field.description or "").split())}
    row = _make(field.annotation, _bounds(field.metadata), basics)
    if not field.is_required():
        row.write(field.get_default(call_default_factory=True))
    return row


def _make(annotation: Any, bounds: tuple[float | None, float | None], basics: dict[str, Any]) -> _Row:
    options = _union(annotation)
    kinds = {option for option in options if option is not type(None)}
    literals = [value for option in kinds if get_origin(option) is Literal for value in get_args(option)]
    if len(kinds) == 1 and literals:
        automatic = [(_AUTOMATIC, None)] if type(None) in options else []
        return _plain(ComboBox(choices=[*automatic, *((str(value), value) for value in literals)], **basics))
    if literals and kinds - {Literal[tuple(literals)]} <= {int, float}:
        return _choice_or_number(literals, basics)
    configs = [kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel)]
    if configs and (len(configs) > 1 or type(None) in options):
        return _one_of(configs, basics, optional=type(None) in options)
    if len(kinds) > 1:
        return _literal(LiteralEvalLineEdit(value="None", **basics))
    (kind,) = kinds
    if kind is bool:
        box = CheckBox(**basics)
        box.native.setText("")  # the row's label says it; magicgui takes the label where the text is empty
        return _plain(box)
    if kind in (int, float):
        return _number(kind, bounds, basics, optional=type(None) in options)
    if kind is str:
        return _plain(LineEdit(nullable=type(None) in options, **basics))
    if configs:
        return _group(kind, basics)
    if get_origin(kind) is tuple:
        return _literal(LiteralEvalLineEdit(value="()", **basics))
    raise TypeError(f"No widget is known for field '{basics['name']}' of type {annotation}.")


def _plain(widget: Any) -> _Row:
    def write(value: Any) -> None:
        widget.value = value

    return _Row(widget, lambda: widget.value, write)


def _literal(widget: Any) -> _Row:
    """Read what is no literal (yet) as text, for the check of the settings to refuse it."""

    def read() -> Any:
        try:
            return widget.value
        except (SyntaxError, TypeError, ValueError):
            return widget.native.text()

    return replace(_plain(widget), read=read)


def _number(kind: type, bounds: tuple[float | None, float | None], basics: dict[str, Any], *, optional: bool) -> _Row:
    """Return a spin box; where the number is optional, one step below its minimum stands for None."""
    low, high = bounds
    low, high = (-1e9 if low is None else low), (1e9 if high is None else high)
    if kind is int and not optional:
        return _plain(SpinBox(value=int(low), min=int(low), max=int(high), step=1, **basics))
    step = 1.0 if kind is int else low if low == _SMALLEST else 0.01 if high <= 1 else 0.1
    lowest = round(low - step, 6) if optional else low
    box: Any = FloatSpinBox(value=lowest, min=lowest, max=high, step=step, **basics)
    if kind is int:
        box.native.setDecimals(0)
    else:
        DecimalKey(box.native)
    if low == _SMALLEST:
        box.native.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
    if optional:
        box.native.setSpecialValueText(_AUTOMATIC)  # Qt shows it at the minimum

    def read() -> Any:
        return None if optional and box.value == box.min else kind(box.value)

    return _Row(box, read, lambda value: _set(box, lowest if value is None else value))


def _set(box: Any, value: float) -> None:
    """Show `value` with all its digits: Qt rounds to those that it shows."""
    exponent = Decimal(str(value)).normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a setting is a finite number"
    box.native.setDecimals(max(box.native.decimals(), -exponent))
    box.max = max(box.max, value)  # an open bound is nearer than a hundredth
    box.value = value


def _choice_or_number(literals: list[Any], basics: dict[str, Any]) -> _Row:
    """Return a choice, and a spin box where none is chosen; the only number of this kind is a factor of resizing."""
    low, high = RESCALE_FACTORS
    choice: Any = ComboBox(choices=[*literals, _NUMBER], tooltip=basics["tooltip"], name="choice")
    number: Any = FloatSpinBox(value=1.0, min=low, max=high, step=0.05, tooltip=basics["tooltip"], name="number")
    DecimalKey(number.native)
    choice.changed.connect(lambda value: number.native.setVisible(value == _NUMBER))
    both = Container(widgets=[choice, number], layout="horizontal", labels=False, **basics)
    both.margins = (0, 0, 0, 0)
    number.native.setVisible(False)

    def write(value: Any) -> None:
        choice.value = value if value in literals else _NUMBER
        if value not in literals:
            _set(number, value)

    return _Row(both, lambda: number.value if choice.value == _NUMBER else choice.value, write)


def _group(config: type[BaseModel], basics: dict[str, Any]) -> _Row:
    form = ConfigForm(config)
    group = Container(layout="vertical", **basics)
    group.margins = (0, 0, 0, 0)
    group.native.layout().addWidget(form.native)
    for widget in form.widgets.values():
        widget.changed.connect(lambda *_: group.changed.emit(group))
    return _Row(group, form.config, lambda value: form.set_values(dict(value)))


def _one_of(configs: Sequence[type[BaseModel]], basics: dict[str, Any], *, optional: bool) -> _Row:
    """Return a choice of configs, or of None, and the group of the one chosen."""
    kinds = {_kind_of(config) if len(configs) > 1 else _OWN: config for config in configs}
    rows = {name: _group(config, {"name": "values"}) for name, config in kinds.items() if _fields(config)}
    automatic = [_AUTOMATIC] if optional else []
    choice: Any = ComboBox(choices=[*automatic, *kinds], tooltip=basics["tooltip"], name="choice")
    widgets = [choice, *(row.widget for row in rows.values())]
    whole = Container(widgets=widgets, layout="vertical", labels=False, **basics)
    whole.margins = (0, 0, 0, 0)

    def draw() -> None:
        for name, row in rows.items():
            row.widget.native.setVisible(name == choice.value)

    def read() -> Any:
        name = choice.value
        return rows[name].read() if name in rows else kinds[name]() if name in kinds else None

    def write(value: Any) -> None:
        choice.value = next((name for name, config in kinds.items() if type(value) is config), _AUTOMATIC)
        if choice.value in rows:
            rows[choice.value].write(value)

    choice.changed.connect(draw)
    draw()
    return _Row(whole, read, write)


def _kind_of(config: type[BaseModel]) -> str:
    """Return the one value of the field that tells `config` from others."""
    return next(str(value) for field in config.model_fields.values() if (value := _only_value(field)) is not None)


def _fields(config: type[BaseModel]) -> list[str]:
    """Return the names of the fields that can have several values."""
    return [name for name, field in config.model_fields.items() if _only_value(field) is None]


def _only_value(field: FieldInfo) -> Any:
    """Return the value of a field that can have no other, or None."""
    values = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return values[0] if len(values) == 1 else None


def _union(annotation: Any) -> tuple[Any, ...]:
    """Return the options of an annotation, one after the other."""
    if get_origin(annotation) is Annotated:
        return _union(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(option for part in get_args(annotation) for option in _union(part))
    return (annotation,)


def _bounds(metadata: Sequence[Any]) -> tuple[float | None, float | None]:
    """Return the smallest and the largest value that a spin box may show; open bounds leave one hundredth.

    Numbers above 0 and up to 1 may be of any magnitude.
    """
    low = high = None
    for rule in metadata:
        match rule:
            case annotated_types.Ge():
                low = float(rule.ge)  # type: ignore[arg-type]
            case annotated_types.Gt():
                low = float(rule.gt) + 0.01  # type: ignore[arg-type]
            case annotated_types.Le():
                high = float(rule.le)  # type: ignore[arg-type]
            case annotated_types.Lt():
                high = float(rule.lt) - 0.01  # type: ignore[arg-type]
    return (_SMALLEST if (low, high) == (0.01, 1) else low), high


def _label(name: str, field: FieldInfo | None) -> str:
    """Return a field's title, or its name in words, the unit in brackets: ``patch_px`` becomes "Patch (px)"."""
    if field is not None and field.title:
        return field.title
    stem, _, unit = name.rpartition("_")
    if stem and unit in _UNITS:
        return f"{_words(stem)} ({_UNITS[unit]})"
    return _words(name)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
