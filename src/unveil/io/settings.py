"""Settings as YAML files: what a panel writes, a command reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unveil.config.base import Config
from unveil.errors import FileError
from unveil.io.writing import atomically


def read_settings(file: Path) -> dict[str, Any]:
    """Read a YAML file that maps settings to values.

    Raises
    ------
    FileError
        If it cannot be read, or holds something else.
    """
    import yaml

    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as failure:
        raise FileError(f"The settings {file} cannot be read: {failure.strerror}. Check the path.") from failure
    except (yaml.YAMLError, UnicodeDecodeError) as failure:
        message = " ".join(str(failure).split())
        raise FileError(f"The settings {file} are no valid YAML: {message}. Mend the file.") from failure
    if not isinstance(settings, dict | None):
        raise FileError(f"The settings {file} hold {type(settings).__name__}, not 'key: value' lines. Mend the file.")
    return settings or {}


def write_settings(file: Path, config: Config) -> None:
    """Write `config` as YAML; what is not given (None) is named in a comment.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    import yaml

    values = config.model_dump(mode="json")
    given = {name: value for name, value in values.items() if value is not None}
    not_given = ", ".join(name for name in values if name not in given)
    text = f"# Not given (the recipe chooses): {not_given}\n" if not_given else ""
    text += yaml.safe_dump(given, sort_keys=False, allow_unicode=True)
    with atomically(file) as part:
        part.write_text(text, encoding="utf-8")
