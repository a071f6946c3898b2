"""Every exception a user can meet.

::

    UnveilError
    ├── InputError              the user can mend it; the command line exits with 2
    │   ├── ImageError          an image, labels or annotation that cannot be used
    │   ├── FileError           a file that cannot be read or written
    │   ├── ModelFileError      a model file that is broken, altered, newer or not ours
    │   ├── MismatchError       a model and an image that do not fit each other
    │   └── ConfigError         values that contradict each other or do not exist
    │       └── NoSplitError    too little annotation to hold some out for validation
    ├── EngineError             a device or engine that fails or is not there
    └── TrainingError           a training that cannot go on

    UnveilWarning               work goes on, and the user should know why it differs

A message has three parts: what was found, what was expected, what to do.
"""

from __future__ import annotations


class UnveilError(Exception):
    """Base of every error that Unveil raises on purpose."""


class InputError(UnveilError):
    """What the user gave cannot be used as it is; the message says how to mend it."""


class ImageError(InputError):
    """An image, labels or an annotation cannot be used."""


class FileError(InputError):
    """A file cannot be read or written."""


class ModelFileError(InputError):
    """A model file is broken, altered, newer than this version, or not a model."""


class MismatchError(InputError):
    """A model and an image do not fit each other."""


class ConfigError(InputError):
    """Settings contradict each other, are out of bounds, or name what does not exist."""


class NoSplitError(ConfigError):
    """Too little is annotated to hold part of it out for validation; the user may agree to train without."""


class EngineError(UnveilError):
    """A device or engine is missing, fails, or runs out of memory at the smallest tile."""


class TrainingError(UnveilError):
    """A training cannot go on: its loss is no number, or its process ended unexpectedly."""


class UnveilWarning(UserWarning):
    """Work goes on, but differently from what the user may expect."""
