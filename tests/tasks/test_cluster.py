"""Results of a cluster are those of this process, and the death of a worker loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import zarr

from unveil.config.options import DenoisingOptions, SegmentationOptions
from unveil.errors import ConfigError, EngineError, ImageError
from unveil.events import Cancelled, Event, Progress, ignore
from unveil.image import Image
from unveil.inference import cluster as cluster_module
from unveil.inference.cluster import Cluster
from unveil.tasks.denoise import denoise
from unveil.tasks.results import SegmentationSink
from unveil.tasks.segment import segment

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

SHARED = {"precision": "exact", "engine": "torch", "device": "cpu", "tile": 32}
SEGMENTATION = SegmentationOptions(**SHARED, threshold=0.45)


LOCAL_CLUSTER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    quiet = {"dashboard_address": None, "worker_dashboard_address": None}
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", **quiet) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two worker processes on this machine, and a nanny each that starts a dead one anew."""
    script = tmp_path_factory.mktemp("cluster") / "local_cluster.py"
    script.write_text(LOCAL_CLUSTER)
    with subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()
        process.communicate()


def on_disk(folder: Path) -> Any:
    counter = iter(range(100))

    def make(shape: tuple[int, ...], dtype: Any) -> Any:
        chunks = (*(1,) * (len(shape) - 2), 32, 32)
        return zarr.create_array(folder / f"{next(counter)}.zarr", shape=shape, dtype=dtype, chunks=chunks)

    return make


def workers_of(address: str) -> dict[str, int]:
    with distributed.Client(address, set_as_default=False) as client:
        return dict(client.run(os.getpid))


def test_a_cluster_gives_the_same_labels(
    address: str, tmp_path: Path, make_tiny_model: Any, make_blobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, model = make_blobs((2, 150, 170), "TYX"), make_tiny_model()
    here = segment(image, model, options=SEGMENTATION, monitor=ignore)
    monkeypatch.setattr("unveil.tasks.frame_canvas.largest_block", lambda n_dims: 128 * 128)
    sink, journal = SegmentationSink.create(image, model.card, on_disk(tmp_path)), set[str]()
    there = segment(
        image,
        model,
        options=SEGMENTATION,
        into=sink,
        journal=journal,
        cluster=address,
        monitor=ignore,
    )
    np.testing.assert_array_equal(there.labels.data[:], here.labels.data)
    np.testing.assert_allclose(there.probabilities.data[:], here.probabilities.data, rtol=0, atol=1e-6)
    assert (there.report.n_objects, there.report.engine) == (here.report.n_objects, "torch")
    assert there.report.expected_iou == pytest.approx(here.report.expected_iou, abs=1e-6)
    assert len(journal) == 2 * 5 * 6


def test_a_cluster_denoises_the_same(address: str, tmp_path: Path, make_tiny_model: Any, make_blobs: Any) -> None:
    image, model, options = make_blobs((90, 100), "YX"), make_tiny_model("denoising"), DenoisingOptions(**SHARED)
    here = denoise(image, model, options=options, monitor=ignore)
    target = on_disk(tmp_path)((90, 100), "f4")
    there = denoise(image, model, options=options, into=target, cluster=address, monitor=ignore)
    np.testing.assert_allclose(target[:], here.image.data, rtol=0, atol=1e-3)
    assert there.report.expected_psnr == pytest.approx(here.report.expected_psnr, abs=0.01)


@pytest.mark.parametrize("rescale", ["off", 0.5])
def test_a_cluster_computes_the_uncertainty_of_several_models(
    address: str, tmp_path: Path, make_tiny_model: Any, make_blobs: Any, rescale: Any
) -> None:
    image, models = make_blobs((90, 100), "YX"), [make_tiny_model(seed=seed) for seed in (0, 1)]
    options = SEGMENTATION.model_copy(update={"rescale": rescale, "uncertainty": True})
    here = segment(image, models[0], others=models[1:], options=options, monitor=ignore)
    sink = SegmentationSink.create(image, models[0].card, on_disk(tmp_path), options)
    there = segment(image, models[0], others=models[1:], options=options, into=sink, cluster=address, monitor=ignore)
    assert here.uncertainty is not None
    assert there.uncertainty is not None
    assert float(np.max(here.uncertainty.data)) > 0.5
    np.testing.assert_allclose(there.uncertainty.data[:], here.uncertainty.data, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(there.labels.data[:], here.labels.data)


def test_a_cluster_computes_a_resized_image(
    address: str, tmp_path: Path, make_tiny_model: Any, make_blobs: Any
) -> None:
    image, model = make_blobs((90, 100), "YX"), make_tiny_model()
    options = SEGMENTATION.model_copy(update={"rescale": 0.5})
    here = segment(image, model, options=options, monitor=ignore)
    sink = SegmentationSink.create(image, model.card, on_disk(tmp_path))
    there = segment(image, model, options=options, into=sink, cluster=address, monitor=ignore)
    np.testing.assert_array_equal(there.labels.data[:], here.labels.data)


def without_memory(*_: Any) -> Any:
    raise MemoryError("a worker ran out of memory")


def test_workers_without_memory_never_share_a_chunk(
    address: str, tmp_path: Path, make_tiny_model: Any, make_blobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = on_disk(tmp_path)((90, 100), "f4")
    options = DenoisingOptions(**SHARED | {"tile": 64}, skip_check=True)
    monkeypatch.setattr("unveil.inference.cluster.Cluster.__call__", without_memory)
    with pytest.raises(EngineError, match=r"at the smallest tile of 32 × 32 pixels"):
        denoise(
            make_blobs((90, 100), "YX"),
            make_tiny_model("denoising"),
            options=options,
            into=target,
            cluster=address,
            monitor=ignore,
        )


def test_the_death_of_a_worker_in_mid_run_loses_nothing(
    address: str, tmp_path: Path, make_tiny_model: Any, make_blobs: Any
) -> None:
    image, model = make_blobs((400, 420), "YX"), make_tiny_model()
    here = segment(image, model, options=SEGMENTATION, monitor=ignore)
    victims = iter(workers_of(address).values())
    killed: list[int] = []

    def kill_one(event: Event) -> None:
        if isinstance(event, Progress) and event.unit == "tiles" and event.done in (30, 90) and len(killed) < 2:
            killed.append(next(victims))
            os.kill(killed[-1], signal.SIGKILL)

    sink = SegmentationSink.create(image, model.card, on_disk(tmp_path))
    there = segment(image, model, options=SEGMENTATION, into=sink, cluster=address, monitor=kill_one)
    assert len(killed) == 2
    np.testing.assert_array_equal(there.labels.data[:], here.labels.data)
    assert there.report.n_objects == here.report.n_objects


def test_a_run_on_a_cluster_can_be_cancelled_and_gone_on_with(
    address: str, tmp_path: Path, make_tiny_model: Any, make_blobs: Any
) -> None:
    image, model = make_blobs((200, 200), "YX"), make_tiny_model()
    sink, journal = SegmentationSink.create(image, model.card, on_disk(tmp_path)), set[str]()

    def cancel(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 9:
            raise Cancelled

    shared: dict[str, Any] = {"options": SEGMENTATION, "into": sink, "journal": journal}
    with pytest.raises(Cancelled):
        segment(image, model, **shared, cluster=address, monitor=cancel)
    assert len(journal) == 9
    result = segment(image, model, **shared, monitor=ignore)
    here = segment(image, model, options=SEGMENTATION, monitor=ignore)
    np.testing.assert_array_equal(result.labels.data[:], here.labels.data)


def test_a_cancelled_run_leaves_no_tile_at_work(address: str, tmp_path: Path) -> None:
    def compute(folder: Path, tile: int) -> int:
        (folder / f"{tile}.begun").touch()
        time.sleep(0.5 * tile)
        (folder / f"{tile}.ended").touch()
        return tile

    def tiles_that(have: str) -> set[str]:
        return {path.stem for path in tmp_path.glob(f"*.{have}")}

    with Cluster(address) as cluster:
        tiles = cluster(compute, cast("Any", range(4)), tmp_path)
        next(tiles)
        while len(tiles_that("begun")) < 3:  # both workers are at work again
            time.sleep(0.01)
        begun = tiles_that("begun")
        cast("Generator[Any]", tiles).close()
        assert begun <= tiles_that("ended")


def test_workers_that_come_late_are_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    def scatter(self: Any, one: Any, **_: Any) -> Any:
        sent.append(one)
        if len(sent) < 3:
            raise TimeoutError("No valid workers found")
        return real(self, one)

    with Cluster(address) as cluster:
        real = distributed.Client.scatter
        monkeypatch.setattr(distributed.Client, "scatter", scatter)
        assert cluster.ask(len, "three") == 5
        assert len(sent) == 3
        sent[:] = []
        monkeypatch.setattr(cluster_module, "_MOST_SENDINGS", 2)
        with pytest.raises(EngineError, match="die again and again"):
            cluster.ask(len, "four")


def test_results_in_memory_are_refused(address: str, make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((40, 50), "YX"), make_tiny_model()
    with pytest.raises(ImageError, match="zarr arrays in a folder"):
        segment(image, model, cluster=address, monitor=ignore)
    sink = SegmentationSink.create(image, model.card, lambda shape, dtype: zarr.zeros(shape, dtype=dtype))
    with pytest.raises(ImageError, match="zarr arrays in a folder"):
        segment(image, model, into=sink, cluster=address, monitor=ignore)


def test_no_scheduler_is_one_clear_sentence(
    tmp_path: Path, make_tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unveil.inference.cluster._PATIENCE_S", 1)
    image, model = Image(np.eye(40)), make_tiny_model()
    sink = SegmentationSink.create(image, model.card, on_disk(tmp_path))
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with pytest.raises(ConfigError, match="No dask scheduler answers"):
            segment(image, model, into=sink, cluster=address, monitor=ignore)
