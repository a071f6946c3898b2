"""Read the card of a model file, without its weights and without torch.

A model file is a safetensors file whose header carries the card::

    8 bytes        length N of the header, little-endian
    N bytes        header: JSON with every tensor's dtype, shape and place, and "__metadata__": {"unveil.card": card}
    the rest       the tensors, one after the other, nothing else
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from unveil.config.explanation import explain
from unveil.errors import ModelFileError
from unveil.model.card import FORMAT_VERSION, ModelCard

ENDING = ".safetensors"
"""Ending of model files."""
CARD_KEY = "unveil.card"
"""Where the card stands in the header's metadata."""
MAX_CARD_BYTES = 2**20
"""Largest card, as UTF-8."""
MAX_HEADER_BYTES = 2**23
"""Largest header that is read: a card of full size with every character escaped, and all tensors."""

_SIGNATURES = {
    b"PK\x03\x04": "a zip archive or PyTorch checkpoint",
    b"\x80": "a Python pickle",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive",
}


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a safetensors file says.

    Attributes
    ----------
    tensors
        Dtype (``F32``) and shape of each tensor by name.
    n_bytes
        Size that the whole file must have.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    n_bytes: int


def read_card(path: Path) -> ModelCard:
    """Read the card of the model file at `path`; of the file, only its header is read.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, not a model of Unveil, made by a newer version, or its card is damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return card_of(read_header(file, path), path)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}. Choose a model file.") from error


def read_header(file: BinaryIO, path: Path) -> Header:
    """Read the header of the open safetensors `file` and check it against the file's size.

    Raises
    ------
    ModelFileError
        If this is another kind of file, or damaged.
    """
    n_file = file.seek(0, 2)
    file.seek(0)
    start = file.read(8)
    for signature, kind in _SIGNATURES.items():
        # A pickle's first byte is an ordinary length in safetensors, told apart by the JSON that must follow.
        if start.startswith(signature) and file.read(1) != b"{":
            raise ModelFileError(
                f"{path} is {kind}, not a model of Unveil; it was not opened, since such files can run code. "
                f"Choose a .safetensors file made by Unveil."
            )
    n_header = int.from_bytes(start, "little")
    file.seek(8)
    if len(start) < 8 or file.read(1) != b"{" or n_header > 100 * 2**20:
        raise ModelFileError(f"{path} is not a safetensors file. Choose a model file made by Unveil.")
    if n_header > MAX_HEADER_BYTES:
        raise ModelFileError(
            f"{path} has a header of {n_header / 2**20:.0f} MiB; a model of Unveil has at most "
            f"{MAX_HEADER_BYTES // 2**20} MiB, its card at most 1 MiB. Choose a model file made by Unveil."
        )
    if 8 + n_header > n_file:
        raise _truncated(path, 8 + n_header, n_file)
    file.seek(8)
    header = _parse_header(file.read(n_header), path)
    if header.n_bytes > n_file:
        raise _truncated(path, header.n_bytes, n_file)
    if header.n_bytes < n_file:
        raise ModelFileError(
            f"{path} holds {n_file - header.n_bytes} bytes after its last tensor; a model file ends there. "
            f"It was altered: get it again from its source."
        )
    return header


def card_of(header: Header, path: Path) -> ModelCard:
    """Return the card in `header`, checked.

    Raises
    ------
    ModelFileError
        If there is none, or it is too large, newer than this version, or damaged.
    """
    text = header.metadata.get(CARD_KEY)
    if text is None:
        raise ModelFileError(f"{path} holds tensors but no card: it is not a model of Unveil. Choose one that is.")
    n_bytes = len(text.encode("utf-8", "surrogatepass"))
    if n_bytes > MAX_CARD_BYTES:
        raise ModelFileError(
            f"{path} has a card of {n_bytes / 2**20:.1f} MiB; at most 1 MiB is allowed. Get the model from its source."
        )
    fields = _parse_json(text, path, "card")
    _check_version(fields, path)
    try:
        return ModelCard.model_validate(fields)
    except ValidationError as error:
        raise _card_error(error, path) from error
    except RecursionError as error:
        raise ModelFileError(f"{path} has a card nested too deeply. Get the model from its source.") from error


def _parse_header(data: bytes, path: Path) -> Header:
    entries = _parse_json(data, path, "header")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ModelFileError(f"{path} has a damaged header. Get the file again from its source.")
    tensors, end = {}, 0
    for name, entry in entries.items():
        match entry:
            case {"dtype": str() as dtype, "shape": list() as shape, "data_offsets": [int(), int() as stop]} if all(
                type(n) is int and n >= 0 for n in shape
            ):
                tensors[name] = (dtype, tuple(shape))
                end = max(end, stop)
            case _:
                raise ModelFileError(
                    f"{path} has a damaged entry '{name}' in its header. Get it again from its source."
                )
    return Header(metadata, tensors, 8 + len(data) + end)


def _parse_json(text: str | bytes, path: Path, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} has a damaged {what} (no valid JSON). Get it again from its source.") from error
    if not isinstance(value, dict):
        raise ModelFileError(f"{path} has a damaged {what} (no JSON object). Get it again from its source.")
    return value


def _check_version(fields: Mapping[str, Any], path: Path) -> None:
    version = fields.get("format_version")
    if not isinstance(version, int) or version <= FORMAT_VERSION:
        return
    training = fields.get("training")
    versions = training.get("versions") if isinstance(training, dict) else None
    maker = versions.get("unveil") if isinstance(versions, dict) else None
    raise ModelFileError(
        f"{path} was made by {f'Unveil {maker}' if maker else 'a newer Unveil'}, in model format {version}; "
        f"this version reads formats up to {FORMAT_VERSION}. Update Unveil: pip install --upgrade napari-unveil"
    )


def _card_error(error: ValidationError, path: Path) -> ModelFileError:
    for problem in error.errors(include_url=False):
        if problem["type"] == "union_tag_invalid" and problem["loc"] == ("architecture",):
            kind, known = problem["ctx"]["tag"], problem["ctx"]["expected_tags"]
            return ModelFileError(
                f"{path} holds a network of the kind '{kind}'; this version knows {known}. "
                f"Update Unveil, or choose another model."
            )
    return ModelFileError(
        f"{path} has a card that does not hold together: {explain(error)}. Get the model again from its source."
    )


def _truncated(path: Path, expected: int, found: int) -> ModelFileError:
    return ModelFileError(f"{path} is truncated: {found} of {expected} bytes are there. Copy or download it again.")
