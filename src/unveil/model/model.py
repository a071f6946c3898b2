"""Model: a network plus its card, and the check pair that shows it still computes what it did."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unveil.model.card import ModelCard
from unveil.networks.build import build_network

CHECK_TOLERANCE = 1e-3
"""Largest difference allowed when the check output is computed again: float32 differs a little between machines."""
MAX_CHECK_VALUES = 2**20
"""Values of a check input at most: it is computed whenever a model is loaded."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A trained network with everything needed to use it again.

    Attributes
    ----------
    network
        In evaluation mode, float32, on the CPU; never changed in place.
    check_input, check_output
        A small normalized input ``(1, C, *spatial)`` and the maps ``(1, K, *spatial)`` it gave when the model was
        made, both float32, after the output activation.
    """

    card: ModelCard
    network: nn.Module
    check_input: NDArray[np.float32]
    check_output: NDArray[np.float32]

    @classmethod
    def make(cls, card: ModelCard, network: nn.Module, check_input: NDArray[np.float32]) -> Self:
        """Seal `network` with its `card`: compute the check output and the digest of all tensors.

        Parameters
        ----------
        check_input
            Normalized image, float32, shape ``(1, C, *spatial)``, each size a multiple of the size step.
        """
        check_input = np.ascontiguousarray(check_input)  # as files keep it
        network = network.float().cpu().eval().requires_grad_(False)
        check_output = compute(with_activation(network, card), check_input)
        unsealed = cls(card, network, check_input, check_output)
        sealed = card.model_copy(update={"weights_sha256": digest(unsealed.tensors())})
        return replace(unsealed, card=sealed)

    @classmethod
    def restore(cls, card: ModelCard, tensors: Mapping[str, Tensor]) -> Self:
        """Rebuild a model from its card and `tensors` as `tensors()` gave them.

        Raises
        ------
        KeyError, RuntimeError
            If names or shapes do not fit the card (torch's own words).
        """
        weights = {name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")}
        with torch.device("meta"):
            network = build_network(card.architecture)
        network.load_state_dict(weights, assign=True)
        network.eval().requires_grad_(False)
        return cls(card, network, tensors["check.input"].numpy(), tensors["check.output"].numpy())

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of the model file by name, float32."""
        named = {f"network.{name}": tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        named["check.input"] = torch.from_numpy(self.check_input)
        named["check.output"] = torch.from_numpy(self.check_output)
        return named

    def inference_module(self) -> nn.Module:
        """Return the network with its output activation: what engines compute."""
        return with_activation(self.network, self.card)

    def check_deviation(self) -> float:
        """Compute the check input again and return the largest difference from the recorded output."""
        with _one_thread():
            output = compute(self.inference_module(), self.check_input)
        return float(np.abs(output - self.check_output).max())


class SegmentationActivation(nn.Module):
    """Softmax over the class maps, at a temperature; further maps (the normalized distance) clipped to 0 … 1."""

    def __init__(self, network: nn.Module, n_classes: int, temperature: float = 1.0) -> None:
        super().__init__()
        self.network, self.n_classes, self.temperature = network, n_classes, temperature

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(N, n_classes + further, *spatial)``, every value in 0 … 1."""
        maps = self.network(image)
        probabilities = torch.softmax(maps[:, : self.n_classes] * (1 / self.temperature), dim=1)
        return torch.cat([probabilities, maps[:, self.n_classes :].clamp(0, 1)], dim=1)


def with_activation(network: nn.Module, card: ModelCard) -> nn.Module:
    """Return `network` with the output activation that its task needs: none for denoisers and filters."""
    if card.task == "denoising" or card.is_filter:
        return network
    return SegmentationActivation(network, len(card.classes), card.temperature).eval()


def compute(module: nn.Module, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run `module` on ``(N, C, *spatial)`` in plain float32 on the CPU."""
    with torch.inference_mode():
        output: NDArray[np.float32] = module(torch.from_numpy(batch)).numpy()
    return output


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let PyTorch compute in one thread while the block runs.

    On an image as small as a check input, threads wait for each other at every layer: beside other work, two take ten
    times as long as one.
    """
    with _thread_count:  # it belongs to the process
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


_thread_count = threading.Lock()


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes of `tensors`, independent of their order."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        sha.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        sha.update(tensor.numpy().tobytes())
    return sha.hexdigest()
