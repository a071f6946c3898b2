"""Events and messages over a pipe: what is sent arrives as it was, and a stream that breaks off ends."""

from __future__ import annotations

import io
import math
import os
import threading
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unveil.events import EpochEnd, Event, HeldOut, Notice, Preview, Progress, StepEnd, TrainingStart, Unlike
from unveil.tasks.wire import Message, receive, send, send_event

_counts = st.integers(0, 10**9)
_losses = st.floats()  # NaN and infinity are losses, too
_words = st.text(max_size=20)
_corners = st.lists(_counts, min_size=2, max_size=3).map(tuple)
_events = st.one_of(
    st.builds(Progress, _counts, _counts, _words),
    st.builds(Notice, _words),
    st.builds(Unlike, _words, st.none() | st.floats(0.01, 100)),
    st.builds(StepEnd, _counts, _counts, _losses),
    st.builds(
        EpochEnd,
        epoch=_counts,
        n_epochs=_counts,
        step=_counts,
        training_loss=_losses,
        validation_loss=st.none() | _losses,
        metric=st.none() | _losses,
        metric_name=_words,
        is_kept=st.booleans(),
        seconds=st.floats(0, 1e6),
    ),
    st.builds(
        TrainingStart,
        device=_words,
        precision=_words,
        n_steps=_counts,
        settings=st.dictionaries(_words, st.none() | _losses | _words | st.lists(_words, max_size=2), max_size=3),
        reasons=st.lists(_words, max_size=3).map(tuple),
        held_out=st.lists(st.builds(HeldOut, _counts, _corners, _corners), max_size=2).map(tuple),
    ),
    st.builds(
        Preview,
        epoch=_counts,
        maps=arrays.arrays(np.float32, arrays.array_shapes(min_dims=3, max_dims=4, min_side=0, max_side=5)),
    ),
)


def sent(*events: Event) -> bytes:
    stream = io.BytesIO()
    for event in events:
        send_event(event, stream)
    return stream.getvalue()


def received(data: bytes) -> list[Event | Message]:
    return list(receive(io.BytesIO(data)))


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    for field in fields(one):
        np.testing.assert_equal(getattr(other, field.name), getattr(one, field.name))


@given(st.lists(_events, max_size=4))
def test_every_event_arrives_as_it_was(events: list[Event]) -> None:
    arrived = received(sent(*events))

    assert len(arrived) == len(events)
    for event, copy in zip(events, arrived, strict=True):
        assert_same(event, copy)


def test_losses_that_are_no_numbers_arrive() -> None:
    (step, epoch) = received(
        sent(StepEnd(1, 2, math.nan), EpochEnd(1, 2, 3, math.inf, None, -math.inf, "PSNR", False, 0.5))
    )

    assert isinstance(step, StepEnd)
    assert math.isnan(step.loss)
    assert isinstance(epoch, EpochEnd)
    assert (epoch.training_loss, epoch.validation_loss, epoch.metric) == (math.inf, None, -math.inf)


@pytest.mark.parametrize("maps", [np.arange(24.0).reshape(2, 3, 4)[:, ::-1, ::2], np.ones((1, 2, 2), ">f4")])
def test_pixels_arrive_however_they_lie_in_memory(maps: Any) -> None:
    (preview,) = received(sent(Preview(1, maps)))

    assert isinstance(preview, Preview)
    assert preview.maps.dtype == maps.dtype
    np.testing.assert_array_equal(preview.maps, maps)


@given(st.lists(_events, min_size=1, max_size=3), st.data())
def test_a_stream_that_breaks_off_ends_after_the_last_whole_event(events: list[Event], data: st.DataObject) -> None:
    whole = [len(sent(*events[:n])) for n in range(len(events) + 1)]
    cut = data.draw(st.integers(0, whole[-1]))

    arrived = received(sent(*events)[:cut])

    assert len(arrived) == max(n for n, length in enumerate(whole) if length <= cut)


def test_messages_stay_messages_between_events() -> None:
    stream = io.BytesIO()
    send_event(Notice("one"), stream)
    send({"say": "show", "file": None}, stream)
    send_event(Preview(1, np.zeros((1, 2, 2), np.float32)), stream)
    send({"failed": "ImageError", "message": "line\nbreak, µ"}, stream)

    kinds = received(stream.getvalue())

    assert [type(one) for one in kinds] == [Notice, dict, Preview, dict]
    assert kinds[1] == {"say": "show", "file": None}
    assert kinds[3] == {"failed": "ImageError", "message": "line\nbreak, µ"}


def test_more_than_a_pipe_holds_goes_through_a_pipe() -> None:
    maps = np.random.default_rng(0).random((2, 300, 300), dtype=np.float32)
    out, into = os.pipe()

    def write() -> None:
        with os.fdopen(into, "wb") as stream:
            for step in range(5):
                send_event(StepEnd(step, 5, 0.5), stream)
                send_event(Preview(step, maps), stream)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(out, "rb") as stream:
        arrived = list(receive(stream))
    writer.join()

    assert len(arrived) == 10
    assert all(np.array_equal(one.maps, maps) for one in arrived if isinstance(one, Preview))
