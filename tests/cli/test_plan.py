from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from unveil.cli.plan import Job, check_images, plan
from unveil.errors import ConfigError, ImageError, InputError
from unveil.io import finding


def test_each_image_gets_its_files_in_order(tmp_path: Path) -> None:
    jobs = plan([tmp_path / "b.tif", tmp_path / "a.ome.tif"], tmp_path / "out", ["_labels.tif", "_objects.csv"])

    assert [job.image.name for job in jobs] == ["b.tif", "a.ome.tif"]
    assert jobs[1].results[0] == tmp_path / "out/a_labels.tif"
    assert jobs[0].results == (tmp_path / "out/b_labels.tif", tmp_path / "out/b_objects.csv")


def test_an_image_named_twice_is_one_job(tmp_path: Path) -> None:
    assert len(plan([tmp_path / "a.tif", tmp_path / "a.tif"], tmp_path / "out", ["_labels.tif"])) == 1


def test_equal_stems_of_different_folders_are_refused(tmp_path: Path) -> None:
    images = [tmp_path / "monday" / "a.tif", tmp_path / "tuesday" / "a.tif"]

    with pytest.raises(ConfigError, match=r"monday.*tuesday.*different folders"):
        plan(images, tmp_path / "out", ["_labels.tif"])


@pytest.mark.parametrize(("system", "is_one"), [("linux", False), ("darwin", True), ("win32", True)])
def test_stems_that_only_their_case_tells_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, is_one: bool
) -> None:
    monkeypatch.setattr(finding, "sys", SimpleNamespace(platform=system))
    images = [tmp_path / "monday" / "a.tif", tmp_path / "tuesday" / "A.tif"]
    with pytest.raises(ConfigError, match="both be written") if is_one else nullcontext():
        plan(images, tmp_path / "out", ["_labels.tif"])


def test_a_result_never_overwrites_an_image(tmp_path: Path) -> None:
    images = [tmp_path / "a.tif", tmp_path / "a_labels.tif"]

    with pytest.raises(ConfigError, match=r"overwrite the image .*a_labels\.tif"):
        plan(images, tmp_path / "folder" / "..", ["_labels.tif"])


def test_all_problems_are_named_together(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / name, ()) for name in ("bad.tif", "good.tif", "worse.tif")]

    def check(image: Path) -> None:
        if image.name != "good.tif":
            raise ImageError(f"{image.stem} it is.")

    with pytest.raises(InputError, match=r"(?s)2 of 3 images.*bad it is\..*worse it is\.") as caught:
        check_images(jobs, check)
    assert "\n\n" not in str(caught.value)


def test_an_image_is_not_named_twice_in_one_line(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / name, ()) for name in ("a.tif", "b.tif")]

    def check(image: Path) -> None:
        raise ImageError(f"{image} is empty.")

    with pytest.raises(ImageError) as caught:
        check_images(jobs, check)
    assert str(caught.value).splitlines()[1:] == [f"  {job.image} is empty." for job in jobs]


def test_one_problem_is_raised_as_it_is(tmp_path: Path) -> None:
    problem = ConfigError("This one.")

    def check(image: Path) -> None:
        raise problem

    with pytest.raises(ConfigError) as caught:
        check_images([Job(tmp_path, ())], check)
    assert caught.value is problem


def test_a_check_that_is_a_defect_is_not_taken_for_the_users_problem(tmp_path: Path) -> None:
    def check(image: Path) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        check_images([Job(tmp_path, ())], check)


@pytest.mark.parametrize(("ending", "longest"), [("_labels.tif", 244), ("_segmentation.ome.zarr", 227)])
def test_names_that_are_too_long_are_refused(tmp_path: Path, ending: str, longest: int) -> None:
    assert plan([tmp_path / f"{'a' * longest}.tif"], tmp_path / "out", [ending])
    with pytest.raises(ConfigError, match="Shorten it"):
        plan([tmp_path / f"{'a' * (longest + 1)}.tif"], tmp_path / "out", [ending])


@pytest.mark.parametrize(("given", "name"), [(".", "slide_labels.tif"), ("..", "in_labels.tif")])
def test_the_current_folder_has_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, name: str
) -> None:
    (tmp_path / "in" / "slide.ome.zarr").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "in" / "slide.ome.zarr")
    (job,) = plan([Path(given)], tmp_path / "out", ["_labels.tif"])
    assert job.results[0].name == name
