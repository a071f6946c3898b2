"""Small models whose weights are set by hand, so that panels give results that can be foretold.

The segmentation network is the identity: a pixel is foreground where its normalized intensity exceeds one half, and
the intensity is its distance from the border, too.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import hypothesis
import numpy as np
import pytest

from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.config.normalization import PercentileNormalization
from unveil.config.objects import ObjectRule
from unveil.model.card import ModelCard

STEEPNESS = 20.0
WAIT_MS = 20_000


@pytest.fixture(autouse=True, scope="session")
def _imports_are_no_garbage() -> None:
    """Keep what is imported out of the collections that napari's fixture asks for: they took a fifth of the time."""
    import napari.qt  # noqa: F401
    import torch  # noqa: F401

    import unveil.widgets.train_panel  # noqa: F401

    hypothesis.find(hypothesis.strategies.none(), lambda _: True)  # it looks for its own generator, before it is frozen
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _plugins_are_sought_once() -> Iterator[None]:
    """Read the manifests of all plugins once, not anew for each viewer."""
    from npe2 import PluginManifest

    found = list(PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        yield


@pytest.fixture
def dask_in_this_thread():
    """Compute without dask's pool, whose threads never end."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def _survivors_are_no_garbage() -> None:
    """Keep out of later collections what outlived earlier tests, too: with each viewer they took longer."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def viewer(_survivors_are_no_garbage: None, make_napari_viewer_proxy: Callable[..., Any]) -> Any:
    """A real viewer behind the proxy that napari hands to plugins."""
    return make_napari_viewer_proxy()


@pytest.fixture
def notifications() -> Iterator[list[tuple[str, str]]]:
    """Severity and text of what napari shows while the test runs."""
    from napari.utils.notifications import notification_manager

    shown: list[tuple[str, str]] = []

    def take(notification: Any) -> None:
        shown.append((str(notification.severity), notification.message))

    notification_manager.notification_ready.connect(take)
    yield shown
    notification_manager.notification_ready.disconnect(take)


@pytest.fixture
def run(qtbot: Any) -> Callable[[Any], None]:
    """Press a panel's button and wait for the end of its job."""
    from qtpy.QtCore import Qt

    from unveil.widgets.run_bar import PanelState

    def press_and_wait(panel: Any) -> None:
        bar = panel.runner.bar
        assert bar.state is PanelState.READY, bar.line.text()
        with qtbot.waitSignal(panel.runner.ended, timeout=WAIT_MS):
            qtbot.mouseClick(bar.button, Qt.MouseButton.LeftButton)
            assert bar.state is PanelState.RUNNING

    return press_and_wait


@pytest.fixture
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of own models; shipped models, and those that earlier tests opened, are out of the way."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("UNVEIL_MODELS", str(folder))
    monkeypatch.setattr("unveil.io.library.shipped_models_folder", lambda: tmp_path / "none")
    monkeypatch.setattr("unveil.widgets.session_models.session_models._opened", {})
    return folder


@pytest.fixture
def save_segmenter(models_folder: Path) -> Callable[..., Path]:
    """Save an identity segmenter into the library and return its path."""

    def save(
        name: str = "blobs",
        *,
        n_dims: int = 2,
        in_channels: int = 1,
        classes: tuple[str, ...] = ("background", "blob"),
        objects: bool = True,
        **card: Any,
    ) -> Path:
        import torch

        from unveil.io.model_file import save_model
        from unveil.model.model import Model
        from unveil.networks.build import build_network

        n_maps = 2 + objects
        config = UNetConfig(
            n_dims=n_dims, in_channels=in_channels, out_channels=n_maps, width=max(4, in_channels), poolings=0
        )
        network = build_network(config)
        centre = (1,) * n_dims
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()
            for channel in range(in_channels):
                network.down[0][0].weight[0, channel][centre] = 1 / in_channels
            network.down[0][2].weight[0, 0][centre] = 1
            network.head.weight[1, 0] = STEEPNESS
            network.head.bias[1] = -STEEPNESS / 2
            if objects:
                network.head.weight[2, 0] = 1
        described = ModelCard.describe(
            config,
            name=name,
            task="segmentation",
            classes=classes,
            objects=ObjectRule(reach_px=8) if objects else None,
            normalization=PercentileNormalization(low=0, high=100),
            **card,
        )
        path = models_folder / f"{name}.safetensors"
        save_model(Model.make(described, network, np.zeros((1, in_channels, *(8,) * n_dims), np.float32)), path)
        return path

    return save


@pytest.fixture
def save_denoiser(models_folder: Path) -> Callable[..., Path]:
    """Save a denoiser that changes nothing into the library and return its path."""

    def save(name: str = "keeper", *, in_channels: int = 1, **card: Any) -> Path:
        import torch

        from unveil.io.model_file import save_model
        from unveil.model.model import Model
        from unveil.networks.build import build_network

        config = DnCNNConfig(in_channels=in_channels, depth=2, width=4)
        network = build_network(config)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()
        described = ModelCard.describe(
            config, name=name, task="denoising", normalization=PercentileNormalization(low=0, high=100), **card
        )
        path = models_folder / f"{name}.safetensors"
        save_model(Model.make(described, network, np.zeros((1, in_channels, 8, 8), np.float32)), path)
        return path

    return save


@pytest.fixture
def blobs() -> Callable[..., np.ndarray]:
    """Make a dark image, float32, with bright squares: four in its last two axes, in every plane."""

    def make(*shape: int) -> np.ndarray:
        image = np.zeros(shape, np.float32)
        for y in (4, 20):
            for x in (4, 20):
                image[..., y : y + 8, x : x + 8] = 0.7
                image[..., y + 2 : y + 6, x + 2 : x + 6] = 1.0
        return image

    return make


@pytest.fixture
def inspect_panel(viewer: Any, save_segmenter: Callable[..., Path]) -> Iterator[Any]:
    """The Inspect panel in its dock, with one model to choose."""
    from unveil.widgets.inspect_panel import InspectPanel

    save_segmenter()
    panel = InspectPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Inspect")
    yield panel
    panel.close_for_good()


@pytest.fixture
def press_and_wait(qtbot: Any) -> Callable[[Any], None]:
    """Start the job of a section and wait for its end."""

    def press(section: Any) -> None:
        with qtbot.waitSignal(section.button.ended, timeout=60_000):
            section.button.start()

    return press
