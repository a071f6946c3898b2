r"""Events on their way from one process to another: a line of JSON each, and the pixels behind it.

::

    {"event": "Preview", "epoch": 3, "maps": {"dtype": "<f4", "shape": [2, 64, 64]}}\n  <32768 bytes>
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import fields
from typing import IO, Any, TypeAlias, get_args

import numpy as np

from unveil.events import Event, HeldOut, Preview, TrainingStart

Message: TypeAlias = dict[str, Any]

_EVENTS = {kind.__name__: kind for kind in get_args(Event)}


def send_event(event: Event, stream: IO[bytes]) -> None:
    """Write `event` to `stream`."""
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    pixels = b""
    if isinstance(event, Preview):
        array = np.ascontiguousarray(event.maps)
        values["maps"], pixels = {"dtype": array.dtype.str, "shape": array.shape}, array.tobytes()
    elif isinstance(event, TrainingStart):
        values["settings"] = dict(event.settings)
        values["held_out"] = [(part.image, part.start, part.stop) for part in event.held_out]
    send({"event": type(event).__name__, **values}, stream, pixels)


def send(message: Message, stream: IO[bytes], pixels: bytes = b"") -> None:
    """Write one line, and `pixels` behind it, at once."""
    stream.write(json.dumps(message).encode() + b"\n" + pixels)
    stream.flush()


def receive(stream: IO[bytes]) -> Iterator[Event | Message]:
    """Yield what comes until the other end closes; what is no event stays a message.

    A line that was cut off ends the stream: the sender died while it wrote.
    """
    while (line := stream.readline()).endswith(b"\n"):
        message = json.loads(line)
        if (name := message.pop("event", None)) is None:
            yield message
            continue
        if name == "Preview":
            described = message["maps"]
            n_bytes = math.prod(described["shape"]) * np.dtype(described["dtype"]).itemsize
            if len(data := stream.read(n_bytes)) < n_bytes:
                return
            message["maps"] = np.frombuffer(data, described["dtype"]).reshape(described["shape"])
        elif name == "TrainingStart":
            message["reasons"] = tuple(message["reasons"])
            message["held_out"] = tuple(HeldOut(i, tuple(start), tuple(stop)) for i, start, stop in message["held_out"])
        yield _EVENTS[name](**message)
