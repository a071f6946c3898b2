from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from unveil import __version__
from unveil.cli import main as entry
from unveil.errors import EngineError, ImageError


def test_version(unveil: Callable[..., Any]) -> None:
    assert unveil("--version").out.strip() == __version__


@pytest.mark.parametrize(
    "command", [[], ["segment"], ["denoise"], ["train"], ["train", "segmentation"], ["models", "show"], ["demo"]]
)
def test_help_is_plain_text_on_standard_output(unveil: Callable[..., Any], command: list[str]) -> None:
    outcome = unveil(*command, "--help")

    assert outcome.code == 0
    assert outcome.err == ""
    assert "Usage: unveil" in outcome.out
    assert "\x1b" not in outcome.out


@pytest.mark.parametrize(("function", "summary"), entry.COMMANDS.values(), ids=entry.COMMANDS)
def test_each_command_is_summed_up_in_its_own_words(function: str, summary: str) -> None:
    module, name = function.split(":")
    described, _, _ = (getattr(import_module(f"unveil.cli.{module}"), name).__doc__ or "").partition("Parameters\n")

    assert described.split() == summary.split()


def test_help_says_how_a_training_is_ended(unveil: Callable[..., Any]) -> None:
    words = " ".join(unveil("train", "segmentation", "--help").out.split())

    assert "Ctrl-C ends the training early and keeps the best model so far" in words
    assert "Ctrl-C" not in unveil("train", "--help").out


def test_help_breaks_no_sentence_and_shows_no_default_that_is_none(
    unveil: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    help_text = unveil("segment", "--help").out
    assert "earlier results of the same name are replaced. With --uncertainty it gets" in help_text
    assert "[default: nuclei]" in help_text
    assert not re.search(r"\[default: (None|False|\(\))", help_text)
    assert "[default: 0]" in unveil("evaluate", "denoising", "--help").out


def test_help_shows_the_description_of_each_setting(unveil: Callable[..., Any]) -> None:
    words = " ".join(unveil("segment", "--help").out.replace("│", " ").split())

    assert "--min-size" in words
    assert "auto takes OpenVINO on processors and PyTorch elsewhere" in words
    assert "<stem>_probability.tif" in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], r'Unknown command "nonsense".*See `unveil --help`'),
        (["segment", "--output", "x"], r"IMAGES requires an argument"),
        (["segment", "a.tif"], r"--output requires an argument"),
        (["models", "show", "nuclei", "other", "one"], r"no place for other, one\. See `unveil models show --help`"),
        (["segment", "", "--output", "x"], r"An argument is empty"),
        (["segment", "a.tif", "--output", ""], r"An argument is empty"),
        (["segment", "a.tif", "--outputs", "x"], r"Did you mean --output"),
        (["segment", "a.tif", "--output", "x", "--device", "tpu"], r"--device.*'cpu'.*not 'tpu'.*See `unveil segment"),
        (["segment", "a.tif", "--output", "x", "--threshold", "3", "--tile", "0"], r"--tile.*1.*; --threshold.*1"),
        (["evaluate", "denoising", "--model", "m", "--clean", "c", "--sigma", "much"], r"--sigma.*much"),
    ],
)
def test_wrong_options_are_one_paragraph(refused: Callable[..., str], arguments: list[str], message: str) -> None:
    assert re.search(message, refused(*arguments))


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (ImageError("It is empty. Choose another."), 2, "unveil: It is empty. Choose another.\n"),
        (EngineError("The GPU is\n\n gone."), 1, "unveil: The GPU is\n gone.\n"),
        (ZeroDivisionError("oops"), 1, "unveil: unexpected ZeroDivisionError: oops (--traceback or UNVEIL_TRACEBACK=1"),
        (PermissionError(13, "No", "a.tif"), 2, "unveil: a.tif cannot be read or written: No. Choose another"),
        (OSError(5, "Broken"), 1, "unveil: unexpected OSError: [Errno 5] Broken"),
        (KeyboardInterrupt(), 130, "unveil: interrupted; no file is left half-written.\n"),
        (MemoryError(), 1, "unveil: the memory is not enough"),
    ],
)
def test_every_failure_has_its_code(
    unveil: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int, message: str
) -> None:
    def fail(arguments: list[str]) -> int:
        raise failure

    monkeypatch.setattr(entry, "_run", fail)

    outcome = unveil("segment")
    assert outcome.code == code
    assert outcome.err.startswith(message)
    assert "Traceback" not in outcome.err

    shown = unveil("segment", "--traceback")
    assert "Traceback (most recent call last)" in shown.err
    assert shown.code == code
    assert "Traceback" not in unveil("segment").err


@pytest.mark.parametrize("command", [["segment", "--help"], ["models", "list", "--json"]])
def test_a_reader_that_leaves_is_met_with_silence(command: list[str]) -> None:
    script = f"import sys; from unveil.cli.main import main; sys.exit(main({command}))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)

    assert err == b""
    assert process.returncode == 1


@pytest.mark.skipif(os.name == "nt", reason="needs a shell that closes what a command writes to")
@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
def test_a_command_without_a_screen_is_no_failure(
    write_blobs: Callable[..., Path], denoiser: Path, tmp_path: Path, redirection: str
) -> None:
    write_blobs(tmp_path / "in" / "a.tif")
    write_blobs(tmp_path / "in" / "b.tif")
    command = f'"$0" -m unveil denoise in -o out -m "$1" {redirection}'
    finished = subprocess.run(["sh", "-c", command, sys.executable, denoiser], cwd=tmp_path, timeout=120, check=False)

    assert finished.returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_denoised.tif", "b_denoised.tif"]


def test_help_needs_neither_torch_nor_napari() -> None:
    script = """
import sys
from unveil.cli.main import main
assert main(["segment", "--help"]) == 0
heavy = {"torch", "numpy", "tifffile", "napari", "qtpy", "openvino", "skimage", "scipy"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL, timeout=60)


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "unveil", "nonsense"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr.startswith("unveil: Unknown command")


def test_a_screen_of_few_letters_is_no_failure(
    write_blobs: Callable[..., Path], denoiser: Path, tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "Zellkörper →.tif")
    command = [sys.executable, "-m", "unveil", "denoise", image, "--output", tmp_path / "out", "--model", denoiser]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    assert finished.returncode == 0, finished.stderr
    assert "Zellk?rper ?_denoised.tif" in finished.stdout
    assert (tmp_path / "out" / "Zellkörper →_denoised.tif").is_file()


@pytest.mark.parametrize(("others", "n_expected"), [([], "some"), (["triton"], "none")])
def test_garbage_is_left_at_the_end_but_where_triton_tells_of_it(others: list[str], n_expected: str) -> None:
    script = (
        "import atexit, gc, sys, types\n"
        "atexit.register(lambda: print('some' if gc.get_freeze_count() else 'none'))\n"
        "from unveil.cli.main import main\n"
        "sys.modules.update((name, types.ModuleType(name)) for name in sys.argv[1:])\n"
        "main(['--version'])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *others], capture_output=True, text=True, timeout=100, check=True
    )
    assert ended.stdout.split() == [__version__, n_expected]
