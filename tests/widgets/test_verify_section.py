from __future__ import annotations

import json
from functools import partial

import pytest


@pytest.fixture
def section(inspect_panel):
    return inspect_panel.verification


@pytest.fixture
def verified(press_and_wait, section):
    return partial(press_and_wait, section)


def test_a_press_gives_the_checks_and_a_report(viewer, section, verified, blobs, tmp_path):
    viewer.add_image(blobs(64, 64), name="cells")
    assert section.save_button.isHidden()

    verified()

    assert section.button.bar.line.text() == "Model 'blobs': all 5 checks passed."
    assert "✓ tiles: " in section.lines.text()
    assert "– certificate: " in section.lines.text()
    assert not section.save_button.isHidden()
    section.save(tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["models"][0]["setting"]["image"] == "cells"
    section.save(tmp_path / "report.md")
    assert "cells" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_damaged_file_is_reported_and_not_refused(viewer, section, verified, models_folder, blobs):
    (model,) = models_folder.rglob("*.safetensors")
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    viewer.add_image(blobs(64, 64))

    verified()

    assert "✗ FAILED weights" in section.lines.text()
    assert "failed" in section.button.bar.line.text()


def test_without_an_image_a_sample_is_taken(section, verified):
    verified()
    assert section.result.setting.image == "nuclei"


def test_where_a_report_cannot_be_written_the_user_is_told(viewer, section, verified, blobs, tmp_path, notifications):
    viewer.add_image(blobs(64, 64))
    verified()
    section.save(tmp_path / "report.txt")
    assert "Markdown or JSON" in notifications[-1][1]


def test_another_choice_forgets_the_result(viewer, section, verified, blobs):
    viewer.add_image(blobs(64, 64))
    verified()
    section.set_problem("Choose a model.")
    assert section.result is None
    assert section.save_button.isHidden()
    assert section.lines.isHidden()
    assert not section.button.bar.button.isEnabled()


def test_a_narrow_dock_holds_it(section):
    assert section.minimumSizeHint().width() <= 300
