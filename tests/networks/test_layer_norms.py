from __future__ import annotations

import pytest
import torch

from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.networks.build import build_network
from unveil.networks.layer_norms import convolutions, layer_norms
from unveil.networks.summary import summarize_network


@pytest.mark.parametrize(
    "architecture", [UNetConfig(width=2, poolings=1), DnCNNConfig(depth=4, width=3, skips=True, stride=2)]
)
def test_all_layers_with_parameters_are_found(architecture: UNetConfig | DnCNNConfig) -> None:
    with_parameters = [layer.name for layer in summarize_network(architecture, (16, 16)).layers if layer.n_parameters]
    assert sorted(name for name, _ in convolutions(build_network(architecture))) == sorted(with_parameters)


def test_the_estimate_lies_below_the_bound_and_the_truth_between() -> None:
    torch.manual_seed(0)
    for name, layer in convolutions(build_network(UNetConfig(width=2, poolings=1))):
        found = layer_norms(name, layer, 6)
        columns = torch.eye(layer.in_channels * 36).reshape(-1, layer.in_channels, 6, 6)
        with torch.no_grad():
            matrix = (layer(columns) - layer(torch.zeros(1, layer.in_channels, 6, 6))).flatten(1)
        truth = float(torch.linalg.matrix_norm(matrix.double(), 2))
        assert found.power_method <= truth * (1 + 1e-5)
        assert found.power_method >= 0.9 * truth
        assert truth <= found.certified * (1 + 1e-5)
        assert found.periodic <= found.certified
        assert found.kernel == tuple(layer.weight.shape)
