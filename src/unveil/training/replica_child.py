"""The other end of `unveil.training.replicas`: a process that takes every step that the leader takes."""

from __future__ import annotations

import os
import pickle
import sys

import torch

from unveil.training.child_process import leave_with_parent
from unveil.training.forward import to_device
from unveil.training.precision import number_format
from unveil.training.replicas import READY, Enrolment, join
from unveil.training.state import TrainingState


def main() -> int:
    """Follow the leader until it closes standard input."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # everything printed goes to the log
    leave_with_parent()
    enrolment = pickle.load(sys.stdin.buffer)
    assert isinstance(enrolment, Enrolment)
    lot, device = enrolment.lot, torch.device(enrolment.lot.device)
    if device.type == "cuda":
        torch.cuda.set_device(enrolment.card)
    state = TrainingState.begin(to_device(enrolment.network, device))
    state.restore(enrolment.tensors)
    out.write(READY)
    out.flush()
    join(enrolment.meeting_point, enrolment.rank, enrolment.n_replicas, lot.device)
    with number_format(device, lot.autocast):
        steps = lot.steps(state, enrolment.rank, is_replica=True)
        del enrolment
        while True:
            try:
                name, arguments = pickle.load(sys.stdin.buffer)
            except EOFError:
                return 0
            getattr(steps, name)(*arguments)


if __name__ == "__main__":
    code = main()
    os._exit(code)  # at once: the group's threads take their time to go
