from __future__ import annotations

import os
import sys

import pytest

from unveil.widgets.job import Job


@pytest.mark.skipif(not hasattr(os, "RTLD_DEEPBIND"), reason="only Linux lends one library's names to all others")
def test_triton_is_loaded_with_its_own_libraries_before_a_job_works(qtbot, tmp_path, monkeypatch):
    (tmp_path / "triton.py").write_text("import sys\nflags = sys.getdlopenflags()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    before = sys.getdlopenflags()

    job = Job(lambda monitor: sys.modules["triton"].flags, "Working")
    with qtbot.waitSignal(job.succeeded, timeout=5000) as succeeded, qtbot.waitSignal(job.finished, timeout=5000):
        job.start()

    assert succeeded.args == [before | os.RTLD_DEEPBIND]
    assert sys.getdlopenflags() == before
