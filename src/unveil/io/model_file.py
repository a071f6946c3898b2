"""A model and its file: one safetensors file, the card in its header.

Reading never runs code from the file, and gives a whole model or an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from safetensors import SafetensorError

from unveil.errors import ModelFileError
from unveil.io.card_file import CARD_KEY, ENDING, MAX_CARD_BYTES, Header, card_of, read_header
from unveil.io.library import find_model
from unveil.io.writing import atomically
from unveil.model.card import Epoch, ModelCard, TrainingRecord
from unveil.model.model import CHECK_TOLERANCE, MAX_CHECK_VALUES, Model, digest
from unveil.networks.build import build_network

if TYPE_CHECKING:
    from collections.abc import Mapping


def load_model(name_or_path: str | Path) -> Model:
    """Load a model: shipped or own by its name, any by the path of its file.

    Its network computes the check input of the file before it is returned: it does here what it did when it was made.

    Parameters
    ----------
    name_or_path
        ``"nuclei"``, or the path of a ``.safetensors`` file.

    Raises
    ------
    ModelFileError
        If the file is truncated, altered, made by a newer version or not a model, if its tensors do not fit its
        card, or if the network does not compute here what it computed when it was made.
    ConfigError
        If there is no model of that name, or two.
    FileError
        If a path is given and there is no file.
    """
    path = find_model(name_or_path)
    model = read_model(path)
    if digest(model.tensors()) != model.card.weights_sha256:
        raise ModelFileError(
            f"{path} holds other weights than its card records: it was altered or damaged. "
            f"Get it again from its source."
        )
    _check_output(model, path)
    return model


def read_model(path: Path) -> Model:
    """Read a model file without comparing weights and check output with the card: to find out whether they agree.

    Raises
    ------
    ModelFileError
        If the file is truncated, made by a newer version or not a model, or if its tensors do not fit its card.
    """
    try:
        with path.open("rb") as file:
            header = read_header(file, path)
            card = card_of(header, path)
            _check_tensors(header, card, path)
            file.seek(0)
            data = file.read()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}. Choose a model file.") from error
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise ModelFileError(f"{path} is damaged ({error}). Get it again from its source.") from error
    return Model.restore(card, tensors)


def save_model(model: Model, path: str | Path) -> None:
    """Write `model` to one file, beside its place first and then moved there.

    A training history too long for a card of 1 MiB is thinned: every second epoch goes, the best one stays.

    Parameters
    ----------
    path
        Where to, ending in ``.safetensors``; a file that stands there is replaced.

    Raises
    ------
    ModelFileError
        If the model was not sealed by `Model.make`, or its card is too large even without a history.
    FileError
        If the file cannot be written.
    """
    path = check_model_path(path)
    tensors = model.tensors()
    if digest(tensors) != model.card.weights_sha256:
        raise ModelFileError(
            f"Model '{model.card.name}' has a card that does not record its weights. Make it with Model.make."
        )
    data = safetensors.torch.save(tensors, metadata={CARD_KEY: _card_text(model.card)})
    with atomically(path) as part:
        part.write_bytes(data)


def check_model_path(path: str | Path) -> Path:
    """Return `path` if a model can be called so; ask before long work.

    Raises
    ------
    ModelFileError
        If the name does not end in .safetensors.
    """
    path = Path(path)
    if path.suffix != ENDING:
        raise ModelFileError(f"{path} cannot hold a model: model files end in {ENDING}. Call it {path.name}{ENDING}.")
    return path


def _check_tensors(header: Header, card: ModelCard, path: Path) -> None:
    """Compare names, dtypes and shapes with what the card's network needs, before any tensor is read."""
    with torch.device("meta"):
        network = build_network(card.architecture)
    expected = {f"network.{name}": tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: shape for name, (_, shape) in header.tensors.items() if not name.startswith("check.")}
    problems = _differences(expected, found)
    problems += [f"{name} is {dtype}, not F32" for name, (dtype, _) in header.tensors.items() if dtype != "F32"][:1]
    problems += _check_pair_problems(header, card)
    if problems:
        raise ModelFileError(
            f"{path} holds tensors that do not fit its card: {'; '.join(problems)}. Get it again from its source."
        )


def _differences(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> list[str]:
    problems = []
    if missing := sorted(set(expected) - set(found)):
        problems.append(f"{missing[0]} is missing" + _more(missing))
    if surplus := sorted(set(found) - set(expected)):
        problems.append(f"{surplus[0]} belongs to no layer" + _more(surplus))
    unlike = sorted(name for name in set(found) & set(expected) if found[name] != expected[name])
    if unlike:
        name = unlike[0]
        problems.append(f"{name} has shape {found[name]} instead of {expected[name]}" + _more(unlike))
    return problems


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _check_pair_problems(header: Header, card: ModelCard) -> list[str]:
    checks = {name: shape for name, (_, shape) in header.tensors.items() if name.startswith("check.")}
    if set(checks) != {"check.input", "check.output"}:
        return ["check.input and check.output are needed"]
    given, result = checks["check.input"], checks["check.output"]
    n_values = 1
    for size in given:
        n_values *= size
    fits = (
        given[:2] == (1, card.in_channels)
        and len(given) == 2 + card.n_dims
        and 0 < n_values <= MAX_CHECK_VALUES
        and all(size % step == 0 for size, step in zip(given[2:], card.size_step, strict=True))
    )
    if not fits:
        return [f"check.input has shape {given}"]
    if result != (1, card.architecture.out_channels, *given[2:]):
        return [f"check.output has shape {result} for an input of {given}"]
    return []


def _check_output(model: Model, path: Path) -> None:
    deviation = model.check_deviation()
    if not deviation <= CHECK_TOLERANCE:  # not a number fails too
        raise ModelFileError(
            f"{path} computes something else here than when it was made: its check output differs by {deviation:.2g}, "
            f"at most {CHECK_TOLERANCE:g} is allowed. Update Unveil and PyTorch, or get the model again."
        )


def _card_text(card: ModelCard) -> str:
    """Return the card as JSON, its history thinned until it fits into 1 MiB."""
    text = card.model_dump_json()
    while len(text.encode()) > MAX_CARD_BYTES:
        if card.training is None or len(card.training.history) < 3:
            raise ModelFileError(
                f"The card of model '{card.name}' takes {len(text.encode()) / 2**20:.1f} MiB; "
                f"at most 1 MiB is allowed. Shorten its description, scores or training configuration."
            )
        training = card.training.model_copy(update={"history": _thinned(card.training)})
        card = card.model_copy(update={"training": training})
        text = card.model_dump_json()
    return text


def _thinned(training: TrainingRecord) -> tuple[Epoch, ...]:
    """Keep every second epoch, the last one and the one whose weights the model has."""
    history, kept = training.history, training.kept
    shorter = tuple(epoch for index, epoch in enumerate(history) if index % 2 == 0 or epoch in (kept, history[-1]))
    return shorter if len(shorter) < len(history) else tuple(e for e in history if e in (kept, history[-1]))
