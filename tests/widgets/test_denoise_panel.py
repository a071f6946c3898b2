from __future__ import annotations

import numpy as np
import pytest
import tifffile

from unveil.config.options import DenoisingOptions
from unveil.events import ignore
from unveil.widgets.denoise_panel import DenoisePanel
from unveil.widgets.docks import open_panel
from unveil.widgets.folder import FolderRequest, denoise_folder


@pytest.fixture
def panel(viewer, save_denoiser):
    save_denoiser()
    panel = DenoisePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Denoise")
    return panel


def test_one_click_gives_a_denoised_layer(viewer, panel, run, rng):
    noisy = rng.integers(100, 900, (3, 32, 40)).astype(np.uint16)
    source = viewer.add_image(noisy, name="cells", scale=(2, 0.5, 0.5), units="um", contrast_limits=(50, 1500))
    run(panel)
    result = viewer.layers[-1]
    assert result.name == "cells · keeper denoised"
    assert result.data.dtype == np.float32
    np.testing.assert_allclose(result.data, noisy, atol=2)
    assert list(result.contrast_limits) == [50, 1500]
    np.testing.assert_allclose(result.scale, source.scale)
    assert result.units == source.units
    assert result.metadata["unveil"]["role"] == "denoised"
    assert panel.result is not None


@pytest.mark.parametrize("axes", ["rgb", "czyx", "zcyx"])
@pytest.mark.parametrize("in_channels", [1, 3], ids=["one by one", "together"])
def test_every_channel_becomes_a_layer_at_its_planes(viewer, save_denoiser, run, rng, axes, in_channels):
    save_denoiser(in_channels=in_channels)
    panel = DenoisePanel(viewer)
    viewer.window.add_dock_widget(panel)
    if axes == "rgb":
        noisy = viewer.add_image(rng.integers(0, 255, (32, 40, 3), np.uint8), name="cells")
        channels, names, shape = np.moveaxis(noisy.data, -1, 0), ("red", "green", "blue"), (32, 40)
    else:
        size = {"c": 3, "z": 2, "y": 32, "x": 40}
        pixels = rng.random([size[letter] for letter in axes], dtype=np.float32)
        viewer.add_image(pixels, name="cells", axis_labels=tuple(axes))
        channels, names = np.moveaxis(pixels, axes.index("c"), 0), "012"
        shape = (2, 32, 40) if axes == "czyx" else (2, 1, 32, 40)
    panel.residual.setChecked(True)
    run(panel)
    assert len(viewer.layers) == 1 + 1 + 3 + 3
    for channel, name in zip(channels, names, strict=True):
        layer = viewer.layers[f"cells · keeper denoised {name}"]
        assert layer.data.shape == shape
        np.testing.assert_allclose(layer.data.squeeze(), channel, atol=1)


def test_a_denoised_layer_can_be_segmented(viewer, panel, run, blobs, save_segmenter):
    from unveil.widgets.segment_panel import SegmentPanel

    viewer.add_image(blobs(32, 32), name="cells")
    run(panel)
    save_segmenter()
    segment = SegmentPanel(viewer)
    viewer.window.add_dock_widget(segment)
    segment.form.source.choose("cells · keeper denoised")
    run(segment)
    assert viewer.layers[-1].data.max() == 4
    assert segment.form.source.layer_list.count() == 2  # probabilities are not offered


def test_no_rescaling_is_promised_that_denoising_does_not_do(viewer, save_denoiser, blobs):
    save_denoiser(pixel_size_um={"Y": 0.6, "X": 0.6})
    viewer.add_image(blobs(32, 32), scale=(0.1, 0.1), units="um")
    panel = DenoisePanel(viewer)
    viewer.window.add_dock_widget(panel)
    assert panel.form.models.card is not None
    assert not panel.form.rescale.isVisibleTo(panel)


def test_replacing(viewer, panel, run, blobs):
    viewer.add_image(blobs(32, 32))
    run(panel)
    panel.replace.setChecked(True)
    run(panel)
    assert len(viewer.layers) == 2
    panel.replace.setChecked(False)
    run(panel)
    assert len(viewer.layers) == 3


def test_a_folder_becomes_files(qtbot, panel, blobs, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    tifffile.imwrite(images / "a.tif", blobs(32, 32))
    with qtbot.waitSignal(panel.runner.ended, timeout=20_000):
        panel.runner.start_folder(images, tmp_path / "results")
    np.testing.assert_allclose(tifffile.imread(tmp_path / "results" / "a_denoised.tif"), blobs(32, 32), atol=0.01)


def test_what_nobody_foresaw_of_one_image_spares_the_others(blobs, save_denoiser, tmp_path, monkeypatch, capsys):
    from unveil.tasks import denoise as task

    def fails_for_a(image, *args, **kwargs):
        if image.name == "a":
            raise ZeroDivisionError("by nothing")
        return denoise(image, *args, **kwargs)

    denoise = task.denoise
    monkeypatch.setattr(task, "denoise", fails_for_a)
    (tmp_path / "images").mkdir()
    for name in "ab":
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", blobs(32, 32))
    request = FolderRequest(tmp_path / "images", tmp_path / "results", save_denoiser(), DenoisingOptions())
    report = denoise_folder(request, ignore)
    assert report.written == [tmp_path / "results" / "b_denoised.tif"]
    assert report.problems == ["a.tif: unexpected ZeroDivisionError: by nothing"]
    assert "in fails_for_a" in capsys.readouterr().err, "where it failed is not lost"


def test_a_classical_filter_asks_for_its_size(viewer, blobs, run):
    from unveil.operators.classical import median

    noisy = blobs(32, 40)
    viewer.add_image(noisy, name="cells")
    panel = DenoisePanel(viewer)
    viewer.window.add_dock_widget(panel)
    form = panel.form
    form.models.list.setCurrentText("clipped-high-pass")
    assert all(widget.native.isVisibleTo(panel) for widget in form.filter.widgets.values())
    form.models.list.setCurrentText("median-filter")
    assert form.filter.widgets["size_px"].value == 1
    assert not panel.adapt_button.isEnabled()  # it has nothing to learn
    assert not form.filter.widgets["strength"].native.isVisibleTo(panel)
    form.filter.widgets["size_px"].value = 2
    run(panel)
    form.models.refresh()  # as when the panel comes to the front again
    assert form.options().size_px == 2
    assert viewer.layers[-1].name == "cells · median-filter denoised"
    np.testing.assert_array_equal(viewer.layers[-1].data, median(noisy, 2))
    form.models.list.setCurrentText("fluorescence-denoiser")
    assert not form.filter.widgets["size_px"].native.isVisibleTo(panel)
    assert panel.form.options().size_px is None
    assert panel.adapt_button.isEnabled()


def test_a_denoiser_is_adapted_in_the_train_panel(viewer, blobs, models_folder, save_denoiser, monkeypatch, tmp_path):
    save_denoiser("keeper")
    for name in ("one", "two", "three"):
        viewer.add_image(blobs(32, 40), name=name)
    _, panel = viewer.window.add_plugin_dock_widget("napari-unveil", "Denoise")
    form = panel.form
    form.models.list.setCurrentText("keeper")
    form.source.choose("two")
    for _ in range(2):  # the Train panel is opened, and found open
        panel.adapt_button.click()
        train = open_panel(viewer, "Train")
        assert not train.form.folder.is_set
        assert train.form.task_list.currentText() == "Denoise: adapt to images"
        assert [pair.image.name for pair in train.form.pairs.pairs()] == ["two"]
        assert train.form.request().parent.stem == "keeper"
        train.form.folder.choose(tmp_path, None)
    form.source.choose("three")
    with monkeypatch.context() as patch:
        patch.setattr(type(train), "is_training", True)
        panel.adapt_button.click()
    assert [pair.image.name for pair in train.form.pairs.pairs()] == ["two"]  # what is being learnt stays
    viewer.layers.clear()
    assert not panel.adapt_button.isEnabled()


def test_models_that_have_learned_come_before_filters(viewer):
    panel = DenoisePanel(viewer)
    assert panel.form.models.entry.name == "fluorescence-denoiser"


def test_the_panel_says_how_noisy_it_was_and_shows_what_it_removed(viewer, run, rng):
    noisy = rng.normal(500, 40, (3, 120, 130))
    viewer.add_image(noisy, name="cells", scale=(2, 0.5, 0.5), units="um")
    panel = DenoisePanel(viewer)
    viewer.window.add_dock_widget(panel)
    panel.form.models.list.setCurrentText("gaussian-filter")
    panel.residual.setChecked(True)
    run(panel)
    assert [layer.name for layer in viewer.layers[1:]] == [
        "cells · gaussian-filter residual autocorrelation",
        "cells · gaussian-filter residual",
        "cells · gaussian-filter denoised",
    ]
    autocorrelation, residual, denoised = viewer.layers[1:]
    np.testing.assert_allclose(residual.data + denoised.data, noisy, rtol=1e-5)
    assert autocorrelation.data.shape == (21, 21)
    assert not residual.visible
    assert tuple(residual.scale) == (2, 0.5, 0.5)
    assert residual.metadata["unveil"]["noise_level"] == pytest.approx(40, rel=0.1)
    assert "Noise: ± " in panel.runner.bar.line.text()
    assert "expected PSNR" in panel.runner.bar.line.text()
    panel.replace.setChecked(True)
    panel.residual.setChecked(False)
    run(panel)
    assert [layer.name for layer in viewer.layers[1:]] == ["cells · gaussian-filter denoised"]


def test_the_panel_warns_where_the_image_goes_with_the_noise(viewer, run, rng):
    stripes = 100 * np.sin(np.arange(128) / 3) * np.ones((128, 1))
    viewer.add_image(stripes + rng.normal(0, 10, (128, 128)))
    panel = DenoisePanel(viewer)
    viewer.window.add_dock_widget(panel)
    panel.form.models.list.setCurrentText("gaussian-filter")
    panel.form.filter.widgets["size_px"].value = 8
    run(panel)
    assert "no white noise" in panel.runner.bar.line.text()
