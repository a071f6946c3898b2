from __future__ import annotations

import gc
import threading
import time
import warnings
import weakref

import pytest
from napari.qt.threading import WorkerBase
from napari.utils import progress as napari_progress

from unveil.events import Cancelled, Notice, Progress
from unveil.widgets.job import Job


class Record(list):
    """Every signal of a job, in order."""

    def __init__(self, job):
        super().__init__()
        job.progressed.connect(lambda p: self.append(("progressed", p)))
        job.noticed.connect(lambda m: self.append(("noticed", m)))
        job.succeeded.connect(lambda v: self.append(("succeeded", v)))
        job.failed.connect(lambda e: self.append(("failed", e)))
        job.cancelled.connect(lambda: self.append(("cancelled", None)))
        job.finished.connect(lambda: self.append(("finished", None)))

    @property
    def names(self):
        return [name for name, _ in self]


def _run(qtbot, work, title="Working"):
    job = Job(work, title)
    record = Record(job)
    with qtbot.waitSignal(job.finished, timeout=5000):
        job.start()
    return record


def test_a_result_arrives_in_the_main_thread(qtbot):
    threads = []
    job = Job(lambda monitor: threading.current_thread(), "Working")
    job.succeeded.connect(lambda _: threads.append(threading.current_thread()))
    record = Record(job)
    with qtbot.waitSignal(job.finished, timeout=5000):
        job.start()
    assert record.names[-2:] == ["succeeded", "finished"]
    assert record[-2][1] is not threading.main_thread()
    assert threads == [threading.main_thread()]


def test_a_thread_that_python_knows_to_its_end_does_the_work(qtbot):
    """PyTorch before 2.13 hung in the second task of a thread of Qt's that had imported it in the first."""
    (*_, thread), _ = _run(qtbot, lambda monitor: type(threading.current_thread()))[-2:]
    assert thread is threading.Thread


def test_events_arrive_before_the_end(qtbot):
    def work(monitor):
        monitor(Notice("tile halved"))
        monitor(Progress(3, 4))
        return 1

    record = _run(qtbot, work)
    assert record.names == ["progressed", "noticed", "succeeded", "finished"]
    assert record[0][1] == Progress(3, 4)


@pytest.mark.parametrize("error", [RuntimeError("shape"), ValueError("value"), MemoryError()])
def test_every_exception_is_a_failure(qtbot, error):
    def work(monitor):
        raise error

    record = _run(qtbot, work)
    assert record.names[-2:] == ["failed", "finished"]
    assert record[-2][1] is error


def test_a_returned_exception_is_a_result(qtbot):
    assert _run(qtbot, lambda monitor: RuntimeError("kept"))[-2][0] == "succeeded"


def test_cancel_takes_effect_at_the_next_event(qtbot):
    n_events = 0

    def work(monitor):
        nonlocal n_events
        while True:
            time.sleep(0.01)
            monitor(Progress(n_events, 1000))
            n_events += 1

    job = Job(work, "Working")
    record = Record(job)
    with qtbot.waitSignal(job.progressed, timeout=5000):
        job.start()
    with qtbot.waitSignal(job.finished, timeout=5000):
        job.cancel()
        seen = n_events
    assert job.is_cancelling
    assert record.names[-2:] == ["cancelled", "finished"]
    assert n_events <= seen + 1


def test_a_result_after_cancel_is_dropped(qtbot):
    started, release = threading.Event(), threading.Event()

    def work(monitor):
        started.set()
        release.wait(5)
        return "late"

    job = Job(work, "Working")
    record = Record(job)
    job.start()
    qtbot.waitUntil(started.is_set)
    job.cancel()
    with qtbot.waitSignal(job.finished, timeout=5000):
        release.set()
    assert [name for name in record.names if name != "progressed"] == ["cancelled", "finished"]


def test_work_may_cancel_itself(qtbot):
    def work(monitor):
        raise Cancelled

    assert _run(qtbot, work).names[-2:] == ["cancelled", "finished"]


def test_a_deleted_job_ends_its_thread(qtbot):
    ended = threading.Event()

    def work(monitor):
        try:
            while True:
                time.sleep(0.01)
                monitor(Progress(0, 1))
        finally:
            ended.set()

    job = Job(work, "Working")
    with qtbot.waitSignal(job.progressed, timeout=5000):
        job.start()
    job.deleteLater()
    qtbot.waitUntil(ended.is_set, timeout=5000)
    del job
    WorkerBase.await_workers(5000)


def test_the_activity_dock_shows_it_and_can_cancel_it(qtbot, make_napari_viewer):
    make_napari_viewer()

    def work(monitor):
        while True:
            time.sleep(0.01)
            monitor(Progress(2, 8))

    job = Job(work, "Segmenting nuclei")
    record = Record(job)
    with qtbot.waitSignal(job.progressed, timeout=5000):
        job.start()
    (bar,) = napari_progress._all_instances
    assert (bar.desc.rstrip(": "), bar.n, bar.total) == ("Segmenting nuclei", 2, 8)
    with qtbot.waitSignal(job.finished, timeout=5000):
        bar.cancel()
    assert record.names[-2] == "cancelled"
    assert not napari_progress._all_instances


def test_warnings_of_libraries_do_not_end_it(qtbot):
    def work(monitor):
        warnings.warn("old", DeprecationWarning, stacklevel=2)
        return 1

    before = list(warnings.filters)
    assert _run(qtbot, work)[-2] == ("succeeded", 1)
    assert list(warnings.filters) == before


class Large:
    """What a job works on or returns, watched for its end."""

    def interrupt(self):
        pass


@pytest.mark.parametrize("ending", ["success", "failure", "cancel"])
def test_nothing_of_a_job_that_has_ended_stays_in_memory(qtbot, viewer, ending):
    taken, watched = Large(), []

    def work(monitor, taken=taken):
        made = Large()
        watched.append(weakref.ref(made))
        if ending != "success":
            raise Cancelled if ending == "cancel" else ValueError("no")
        return made

    watched.append(weakref.ref(taken))
    job = Job(work, "Working", interrupt=taken.interrupt)
    with qtbot.waitSignal(job.finished, timeout=5000):
        job.start()
    job.deleteLater()
    del job, work, taken
    qtbot.waitUntil(lambda: gc.collect() >= 0 and [large() for large in watched] == [None, None], timeout=5000)
