"""`unveil models`: which models there are, and the card of one."""

from __future__ import annotations

from dataclasses import asdict
from math import prod
from pathlib import Path
from statistics import geometric_mean
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from unveil.axes import SPATIAL, spatial
from unveil.cli.flowing import flowing
from unveil.cli.outcome import outcome
from unveil.cli.terminal import Terminal
from unveil.words import listed

_MOST_NAMED = 50

if TYPE_CHECKING:
    from rich.table import Table

    from unveil.io.library import ModelEntry
    from unveil.model.card import ModelCard
    from unveil.tasks.certificate import CertificateCheck


@flowing
def list_(*, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """List the models that ship with Unveil and your own.

    Parameters
    ----------
    as_json
        Put one JSON object on standard output.
    """
    from unveil.io.library import list_models
    from unveil.io.user_folders import own_models_folder

    terminal = Terminal(as_json=as_json)
    entries = list_models()
    if as_json:
        terminal.json({"models": [_entry_as_json(entry) for entry in entries]})
        return
    terminal.table(_entries_table(entries))
    terminal.say(f"Your own models live in {own_models_folder()}.")


@flowing
def show(model: str, /, *, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """Show the card of a model: what it does, where it comes from, how well it did.

    Parameters
    ----------
    model
        Name of a model, or a model file.
    as_json
        Put one JSON object on standard output: the card and "n_parameters".
    """
    from unveil.io.card_file import read_card
    from unveil.io.library import find_model

    path = find_model(model)
    card = read_card(path)
    terminal = Terminal(as_json=as_json)
    n_parameters = count_parameters(path)
    check = _checked(card, path, terminal)
    if as_json:
        more = {} if check is None else {"certificate_check": asdict(check) | {"holds": check.holds}}
        terminal.json({**_card_as_json(card), "n_parameters": n_parameters, **more})
    else:
        terminal.table(_card_table(card, path, n_parameters, check))


def _checked(card: ModelCard, path: Path, terminal: Terminal) -> CertificateCheck | None:
    """Recompute the certificate of a card that has one, and say loudly where the weights do not bear it out."""
    if card.certificate is None:
        return None
    from unveil.tasks.certificate import check_certificate

    check = check_certificate(path)
    if check is not None and not check.holds:
        terminal.notice(f"The certificate of '{card.name}' is {check.words}. Do not rely on it.")
    return check


def count_parameters(path: Path) -> int:
    """Count the numbers that a model file's network has learned, from the file's header alone."""
    from unveil.io.card_file import read_header

    with path.open("rb") as file:
        tensors = read_header(file, path).tensors
    return sum(prod(shape) for name, (_, shape) in tensors.items() if name.startswith("network."))


def _card_as_json(card: ModelCard) -> dict[str, Any]:
    """Return the card's values, without the thousands of numbers that images are compared with."""
    return card.model_dump(mode="json", exclude={"appearance": {"statistics", "looks", "resized"}})


def _entry_as_json(entry: ModelEntry) -> dict[str, Any]:
    card = None if entry.card is None else _card_as_json(entry.card)
    return {
        "name": entry.name,
        "origin": entry.origin,
        "path": str(entry.path),
        "problem": entry.problem,
        "card": card,
    }


def _entries_table(entries: list[ModelEntry]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_lines=True)
    for title in ("name", "what it is"):
        table.add_column(title, overflow="fold")
    for entry in entries:
        table.add_row(escape(entry.name), escape("\n".join(_entry_lines(entry))))
    return table


def _entry_lines(entry: ModelEntry) -> list[str]:
    """Return the facts in a line, and below them the description: a narrow screen has room for both."""
    card = entry.card
    if card is None:
        return [entry.origin, f"cannot be used: {entry.problem}"]
    facts = [card.task, f"{card.n_dims}D", _pixel_size(card), entry.origin]
    about = card.description or card.training_data
    return [", ".join(fact for fact in facts if fact), *([about] if about else [])]


def _card_table(card: ModelCard, path: Path, n_parameters: int, check: CertificateCheck | None) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for key, value in _card_lines(card, path, n_parameters, check).items():
        if value:
            table.add_row(key, escape(value))
    return table


def _card_lines(card: ModelCard, path: Path, n_parameters: int, check: CertificateCheck | None) -> dict[str, str]:
    channels = ", ".join(card.channel_names) or f"{card.in_channels}"
    return {
        "name": card.name,
        "file": str(path),
        "description": card.description,
        "task": card.task,
        "filter" if card.is_filter else "network": _architecture(card, n_parameters),
        "channels": channels,
        "classes": ", ".join(card.classes),
        "pixel size": _pixel_size(card),
        "certificate": "" if check is None else check.words,
        "objects": _object_sizes(card),
        "trained on": card.training_data,
        "training": "" if card.training is None else outcome(card.training),
        "judged by": "" if card.training is None else listed(card.training.validation_images, _MOST_NAMED),
        "license": card.license,
        "authors": ", ".join(card.authors),
        "scores": "\n".join(f"{score.data}: {_numbers(score.values)}" for score in card.scores),
        "intervals": _intervals(card),
        "cite": "\n".join(card.cite),
        "digest": card.weights_sha256,
    }


def _intervals(card: ModelCard) -> str:
    """Say what the intervals of IoU and number of objects rest on, or what they lack."""
    if card.task != "segmentation" or card.is_filter:
        return ""
    if card.conformal is None:
        return "none: they need at least 9 whole images with their truth that did not teach"
    return f"{card.conformal.data} (n = {len(card.conformal.iou)})"


def _architecture(card: ModelCard, n_parameters: int) -> str:
    from unveil.config.architecture import FilterConfig

    own = card.architecture
    size = f"{own.size_px:g} px" if isinstance(own, FilterConfig) else f"{n_parameters:,} parameters"
    return f"{own.kind}, {card.n_dims}D, {size}"


def _pixel_size(card: ModelCard) -> str:
    sizes = card.pixel_size_um
    if not sizes:
        return ""
    values = [f"{sizes[axis]:g}" for axis in SPATIAL if axis in sizes]
    return f"{values[0] if len(set(values)) == 1 else ' × '.join(values)} µm"


def _object_sizes(card: ModelCard) -> str:
    """Say how large most objects of the training images were, in pixels, and in micrometres where these are known.

    The diameter is that of the disc or ball of the same content.
    """
    diameters = None if card.appearance is None else card.appearance.object_diameters(card.n_dims)
    if diameters is None:
        return ""
    small, usual, large = diameters
    words = f"{small:.0f} to {large:.0f} px in diameter, half of them below {usual:.0f} px"
    um = _edge_um(card)
    return words if um is None else f"{words} ({small * um:.2g} to {large * um:.2g} µm)"


def _edge_um(card: ModelCard) -> float | None:
    """Return the edge of the square or cube of a pixel's content, in micrometres; None where it is not known."""
    sizes = [card.pixel_size_um.get(axis) for axis in spatial(card.axes)]
    known = [size for size in sizes if size is not None]
    return geometric_mean(known) if len(known) == len(sizes) else None


def _numbers(values: dict[str, Any]) -> str:
    """Write scores as ``iou 0.912, dice 0.954, ap 0.50 0.851``."""
    parts = []
    for key, value in values.items():
        if isinstance(value, dict):
            parts += [f"{key}@{_numbers({inner: number})}" for inner, number in value.items()]
        else:
            parts.append(f"{key} {value:.3f}" if isinstance(value, float) else f"{key} {value}")
    return ", ".join(parts)
