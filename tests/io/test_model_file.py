from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.config.architecture import Architecture, DnCNNConfig, UNetConfig
from unveil.config.normalization import FixedNormalization, PercentileNormalization
from unveil.config.objects import ObjectRule
from unveil.errors import ConfigError, FileError, ModelFileError
from unveil.io.card_file import CARD_KEY, MAX_CARD_BYTES, read_card
from unveil.io.model_file import load_model, read_model, save_model
from unveil.model.card import Epoch, MeasuredScores, ModelCard, TrainingRecord
from unveil.model.model import Model, digest
from unveil.networks.build import build_network


def make_model(architecture: Architecture | None = None, *, seed: int = 0, **fields: Any) -> Model:
    architecture = architecture or UNetConfig(width=2, poolings=1, out_channels=3)
    if architecture.kind == "unet" and not architecture.residual:
        fields = {"task": "segmentation", "classes": ("background", "cell"), "objects": ObjectRule()} | fields
    else:
        fields = {"task": "denoising"} | fields
    fields = {"name": "test", "normalization": PercentileNormalization()} | fields
    torch.manual_seed(seed)
    network = build_network(architecture)
    shape = (1, architecture.in_channels, *(8,) * architecture.n_dims)
    check_input = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return Model.make(ModelCard.describe(architecture, **fields), network, check_input)


def record(n_epochs: int, versions: dict[str, str] | None = None) -> TrainingRecord:
    epochs = tuple(
        Epoch(
            epoch=n, training_loss=1 / (n + 1), validation_loss=0.123456789, metric=1.0 - abs(n - n_epochs // 3) / 1e6
        )
        for n in range(n_epochs)
    )
    return TrainingRecord(
        config={"width": 2}, data_sha256="0", n_images=1, n_validation_images=1, metric_name="IoU", history=epochs,
        seed=0, versions=versions or {"unveil": "0.1.0"},
        timestamp="2026-01-01T00:00:00Z", seconds=1, ended_by="schedule",
    )  # fmt: skip


def rewritten(
    path: Path, *, card: dict[str, Any] | str | None = None, tensors: dict[str, torch.Tensor] | None = None
) -> Path:
    """Write the model file at `path` anew with other card fields or tensors, as an attacker or an accident would."""
    data = path.read_bytes()
    n_header = int.from_bytes(data[:8], "little")
    text = json.loads(data[8 : 8 + n_header])["__metadata__"][CARD_KEY]
    if isinstance(card, dict):
        text = json.dumps(json.loads(text) | card)
    elif card is not None:
        text = card
    path.write_bytes(safetensors.torch.save(tensors or safetensors.torch.load(data), {CARD_KEY: text}))
    return path


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    save_model(make_model(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@st.composite
def models(draw: st.DrawFn) -> Model:
    n_dims = draw(st.sampled_from([2, 3]))
    channels = draw(st.integers(1, 3))
    architecture: Architecture
    if draw(st.booleans()):
        architecture = DnCNNConfig(
            n_dims=n_dims,
            in_channels=channels,
            depth=draw(st.integers(2, 4)),
            width=2,
            stride=draw(st.sampled_from((1, 2))),
        )
    else:
        poolings = tuple(draw(st.integers(0, 2)) for _ in range(n_dims))
        architecture = UNetConfig(n_dims=n_dims, in_channels=channels, out_channels=3, width=2, poolings=poolings)
    text = st.text(max_size=20)
    return make_model(
        architecture,
        seed=draw(st.integers(0, 100)),
        name=draw(text),
        description=draw(text),
        channel_names=tuple(draw(text) for _ in range(channels)),
        pixel_size_um={"Y": draw(st.floats(0.01, 10)), "X": draw(st.floats(0.01, 10))},
        normalization=FixedNormalization(
            mean=tuple(draw(st.floats(-1e30, 1e30)) for _ in range(channels)),
            std=tuple(draw(st.floats(1e-30, 1e30)) for _ in range(channels)),
        ),
        training=draw(st.sampled_from([None, record(2)])),
        scores=(MeasuredScores(data=draw(text), values={"iou": draw(st.floats(0, 1)), "ap": {"0.50": None}}),),
    )


@settings(deadline=None, max_examples=30)
@given(model=models())
def test_save_then_load_is_identity(model: Model, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("models") / "model.safetensors"
    save_model(model, path)
    loaded = load_model(path)
    assert loaded.card == model.card == read_card(path)
    assert digest(loaded.tensors()) == digest(model.tensors())
    batch = model.check_input
    with torch.inference_mode():
        expected = model.inference_module()(torch.from_numpy(batch))
        assert torch.equal(loaded.inference_module()(torch.from_numpy(batch)), expected)


def test_the_same_model_gives_the_same_bytes(model_path: Path, tmp_path: Path) -> None:
    save_model(load_model(model_path), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == model_path.read_bytes()


def test_losses_that_are_no_numbers_survive(tmp_path: Path) -> None:
    history = (Epoch(epoch=0, training_loss=float("nan"), validation_loss=float("inf")),)
    model = make_model(training=record(1).model_copy(update={"history": history}))
    save_model(model, tmp_path / "model.safetensors")
    epoch = load_model(tmp_path / "model.safetensors").card.training.history[0]  # type: ignore[union-attr]
    assert np.isnan(epoch.training_loss)
    assert epoch.validation_loss == float("inf")


def test_reading_a_card_needs_no_torch(model_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from unveil.io.card_file import read_card; import unveil.io.library;"
        "import unveil.io.images, unveil.io.writing;"
        "read_card(Path(sys.argv[1])); unveil.io.library.list_models(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(model_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("n_bytes", [0, 4, 8, 20, 1000, -1])
def test_a_truncated_file_is_refused(model_path: Path, n_bytes: int) -> None:
    model_path.write_bytes(model_path.read_bytes()[:n_bytes])
    with pytest.raises(ModelFileError, match=r"truncated|not a safetensors"):
        load_model(model_path)
    if n_bytes > 8:
        with pytest.raises(ModelFileError, match="truncated"):
            read_card(model_path)


def test_altered_weights_are_refused(model_path: Path) -> None:
    data = bytearray(model_path.read_bytes())
    data[-1000] ^= 1
    model_path.write_bytes(data)
    with pytest.raises(ModelFileError, match="other weights than its card records"):
        load_model(model_path)


def test_bytes_after_the_end_are_refused(model_path: Path) -> None:
    model_path.write_bytes(model_path.read_bytes() + b"more")
    with pytest.raises(ModelFileError, match="4 bytes after its last tensor"):
        load_model(model_path)


def test_a_newer_format_names_its_maker(model_path: Path) -> None:
    training = record(1, {"unveil": "7.2.0"}).model_dump()
    rewritten(model_path, card={"format_version": 99, "training": training, "unheard_of": 1})
    with pytest.raises(ModelFileError, match=r"Unveil 7\.2\.0, in model format 99.*Update Unveil"):
        load_model(model_path)


def test_an_unknown_architecture_is_refused(model_path: Path) -> None:
    rewritten(model_path, card={"architecture": {"kind": "resnet", "n_layers": 50}})
    with pytest.raises(ModelFileError, match=r"kind 'resnet'.*'unet', 'dncnn'"):
        load_model(model_path)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_is_refused_unopened(tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb(), protocol=protocol))
    with pytest.raises(ModelFileError, match=r"pickle|not a safetensors"):
        load_model(path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_torch_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match="zip archive or PyTorch checkpoint"):
        load_model(tmp_path / "model.safetensors")


def test_other_safetensors_are_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelFileError, match="no card: it is not a model of Unveil"):
        load_model(tmp_path / "other.safetensors")


def test_a_card_over_one_mebibyte_is_refused(model_path: Path) -> None:
    rewritten(model_path, card={"description": "x" * 2**20})
    with pytest.raises(ModelFileError, match=r"card of 1\.0 MiB"):
        read_card(model_path)


def test_a_giant_header_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "giant.safetensors"
    with path.open("wb") as file:
        file.write((50 * 2**20).to_bytes(8, "little") + b"{")
        file.truncate(60 * 2**20)
    with pytest.raises(ModelFileError, match="header of 50 MiB"):
        read_card(path)


@pytest.mark.parametrize(
    "text", ["", "no json", "[1]", "[" * 100_000, '{"name": ' * 50_000, "{}", '{"format_version": "x"}']
)
def test_a_damaged_card_is_refused(model_path: Path, text: str) -> None:
    rewritten(model_path, card=text)
    with pytest.raises(ModelFileError):
        read_card(model_path)


def test_contradictions_are_put_into_words(model_path: Path) -> None:
    rewritten(model_path, card={"threshold": 3, "halo": [1, 1], "surprise": True})
    with pytest.raises(ModelFileError, match="threshold: input should be less than 1, not 3; surprise: not known"):
        load_model(model_path)


def without(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: without(t, sorted(t)[-1]), "is missing"),
        (lambda t: t | {"network.more": torch.zeros(2)}, "network.more belongs to no layer"),
        (lambda t: {name: v.reshape(-1) if v.ndim == 4 else v for name, v in t.items()}, "has shape"),
        (lambda t: {name: v.double() for name, v in t.items()}, "F64, not F32"),
        (lambda t: without(t, "check.output"), "check.input and check.output"),
        (lambda t: t | {"check.input": torch.zeros(1, 1, 7, 7)}, r"check.input has shape \(1, 1, 7, 7\)"),
        (lambda t: t | {"check.input": torch.zeros(1, 1, 0, 0)}, "check.input has shape"),
        (lambda t: t | {"check.input": torch.zeros(1, 1, 2048, 2048)}, "check.input has shape"),
        (lambda t: t | {"check.output": torch.zeros(1, 3, 4, 4)}, "check.output has shape"),
    ],
)
def test_tensors_that_do_not_fit_the_card_are_refused(model_path: Path, change: Any, message: str) -> None:
    tensors = change(safetensors.torch.load(model_path.read_bytes()))
    rewritten(model_path, tensors=tensors, card={"weights_sha256": digest(tensors)})
    with pytest.raises(ModelFileError, match=message):
        load_model(model_path)


@pytest.mark.parametrize("value", [0.25, float("nan")])
def test_a_network_that_computes_something_else_is_refused(model_path: Path, value: float) -> None:
    tensors = safetensors.torch.load(model_path.read_bytes())
    tensors["check.output"][0, 0, 0, 0] += value
    rewritten(model_path, tensors=tensors, card={"weights_sha256": digest(tensors)})
    with pytest.raises(ModelFileError, match="check output differs by"):
        load_model(model_path)


def test_a_model_that_was_not_sealed_is_not_saved(tmp_path: Path) -> None:
    model = make_model()
    unsealed = Model(
        model.card.model_copy(update={"weights_sha256": ""}), model.network, model.check_input, model.check_output
    )
    with pytest.raises(ModelFileError, match=r"Model\.make"):
        save_model(unsealed, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_long_history_is_thinned_and_keeps_the_epoch_of_the_weights_and_the_last(tmp_path: Path) -> None:
    model = make_model(training=record(40_001).model_copy(update={"kept_epoch": 7}))
    save_model(model, tmp_path / "model.safetensors")
    card = load_model(tmp_path / "model.safetensors").card
    assert card.training is not None
    kept = [epoch.epoch for epoch in card.training.history]
    assert {0, 7, 40_000} <= set(kept)
    assert 1000 < len(kept) < 40_000
    assert len(card.model_dump_json()) <= MAX_CARD_BYTES


def test_a_card_that_cannot_be_thinned_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="at most 1 MiB"):
        save_model(make_model(description="x" * 2**20, training=record(9)), tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_model_files_have_their_ending(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"Call it model\.pt\.safetensors"):
        save_model(make_model(), tmp_path / "model.pt")


def test_saving_over_a_model_keeps_it_where_writing_fails(model_path: Path) -> None:
    before = model_path.read_bytes()
    with pytest.raises(FileError):
        save_model(make_model(seed=1), model_path / "inside.safetensors")
    assert model_path.read_bytes() == before


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="There is no model file"):
        load_model(tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match="no model called 'nobody'"):
        load_model("nobody")


def test_an_altered_file_can_be_read_to_find_out_what_it_holds(tmp_path: Path) -> None:
    model = make_model()
    path = tmp_path / "altered.safetensors"
    save_model(model, path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    read = read_model(path)

    assert read.card == model.card
    assert digest(read.tensors()) != read.card.weights_sha256
    with pytest.raises(ModelFileError, match="other weights than its card records"):
        load_model(path)
