"""Our network as a BioImage.IO model of TorchScript weights; see `turns.py`. Written for bioimageio.core 0.11.

Needs bioimageio.core, torch, and what our model file needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from bioimageio.core import create_prediction_pipeline, predict
from bioimageio.spec.common import FileDescr
from bioimageio.spec.model import v0_5 as spec
from turns import Task, Turn, take_turns

from unveil import load_model
from unveil.inference.tiling import round_up
from unveil.model.model import Model

MOST_PX = 928
"""Largest edge of a block without its halo; the image is cut evenly."""


def prepare(task: Task) -> tuple[Turn, dict[str, Any]]:
    """Describe our network as the format wants it, and return the prediction in blocks."""
    torch.set_num_threads(task.n_threads)
    model = load_model(task.model)
    description = describe(model, task.folder / "package")
    pipeline = create_prediction_pipeline(description, devices=["cpu"], weights_format="torchscript")
    image = task.batch()
    edges = {
        axis: round_up(-(-size // -(-size // MOST_PX)), step) + 2 * halo
        for axis, size, step, halo in zip("yx", image.shape[2:], model.card.size_step, model.card.halo, strict=True)
    }
    is_one_block = max(image.shape) <= MOST_PX  # would be cut in four otherwise
    block = None if is_one_block else {"image": {"batch": 1, "channel": 1, **edges}}
    pipeline.load()

    def infer() -> object:
        return predict(model=pipeline, inputs={"image": image}, input_block_shape=block)

    facts = {
        "timed": "predict of the normalized image "
        + ("as a whole" if is_one_block else f"in blocks of {edges['y']} × {edges['x']} with their halo"),
        "network": "ours, as TorchScript",
        "n_parameters": sum(weights.numel() for weights in model.network.parameters()),
        "precision": "float32",
        "n_pixels": image.size,
    }
    return infer, facts


def describe(model: Model, folder: Path) -> spec.ModelDescr:
    """Write what the format wants of `model` to `folder`, and return its description."""
    folder.mkdir()
    files = {name: folder / name for name in ("network.pt", "input.npy", "output.npy", "README.md")}
    network = model.inference_module()
    torch.jit.trace(network, torch.from_numpy(model.check_input)).save(files["network.pt"])
    np.save(files["input.npy"], model.check_input)
    np.save(files["output.npy"], model.check_output)
    files["README.md"].write_text("# Validation\n\nThis model exists to be timed.\n", encoding="utf-8")
    return spec.ModelDescr(
        name=model.card.name,
        description="A network to be timed",
        authors=[spec.Author(name="Unveil")],
        cite=[spec.CiteEntry(text="U-Net", url="https://arxiv.org/abs/1505.04597")],
        license="MIT",
        documentation=FileDescr(source=files["README.md"]),
        inputs=[_input(model, files["input.npy"])],
        outputs=[_output(model, files["output.npy"])],
        weights=spec.WeightsDescr(
            torchscript=spec.TorchscriptWeightsDescr(source=files["network.pt"], pytorch_version=torch.__version__)
        ),
    )


def _input(model: Model, sample: Path) -> spec.InputTensorDescr:
    sizes = [
        spec.SpaceInputAxis(id=axis, size=spec.ParameterizedSize(min=2 * halo + step, step=step))
        for axis, step, halo in zip("yx", model.card.size_step, model.card.halo, strict=True)
    ]
    axes = [spec.BatchAxis(), spec.ChannelAxis(channel_names=["grey"]), *sizes]
    return spec.InputTensorDescr(id="image", axes=axes, test_tensor=FileDescr(source=sample))


def _output(model: Model, sample: Path) -> spec.OutputTensorDescr:
    sizes = [
        spec.SpaceOutputAxisWithHalo(id=axis, halo=halo, size=spec.SizeReference(tensor_id="image", axis_id=axis))
        for axis, halo in zip("yx", model.card.halo, strict=True)
    ]
    names = [f"map{number}" for number in range(model.card.n_maps)]
    axes = [spec.BatchAxis(), spec.ChannelAxis(channel_names=names), *sizes]
    return spec.OutputTensorDescr(id="maps", axes=axes, test_tensor=FileDescr(source=sample))


if __name__ == "__main__":
    take_turns(prepare, ("numpy", "torch", "bioimageio.core", "bioimageio.spec"))
