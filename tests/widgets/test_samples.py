from __future__ import annotations

from importlib import import_module
from importlib.resources import files

import numpy as np
import pytest
from napari.layers import Labels
from npe2 import PluginManifest

SAMPLES = {"nuclei": 2, "noise_pair": 2, "volume": 3}


@pytest.mark.parametrize("key", SAMPLES)
def test_samples_open_with_their_pixel_size(viewer, key):
    viewer.open_sample("napari-unveil", key)
    first, second = viewer.layers
    assert first.data.shape == second.data.shape
    assert first.ndim == SAMPLES[key]
    np.testing.assert_allclose(first.scale, second.scale)
    assert {str(unit) for unit in first.units} == {"micrometer"}
    assert first.axis_labels == ("z", "y", "x")[-first.ndim :]
    assert isinstance(second, Labels) == (key != "noise_pair")
    if isinstance(second, Labels):
        assert second.data.max() > 5


def test_every_command_of_the_manifest_exists():
    manifest = PluginManifest.from_file(str(files("unveil") / "napari.yaml"))
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(module), name))
    assert {"napari/layers/segment", "napari/layers/filter"} <= set(manifest.contributions.menus)


def test_panels_open_from_the_plugin_menu(viewer, models_folder):
    for name in ("Segment", "Denoise"):
        _, panel = viewer.window.add_plugin_dock_widget("napari-unveil", name)
        assert panel.runner.bar.button.text() == name
