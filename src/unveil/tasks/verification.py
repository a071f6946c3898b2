"""What was checked on this computer, and the report that can be sent along with a paper."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unveil.errors import ConfigError
from unveil.io.writing import atomically
from unveil.model.card import MeasuredScores


@dataclass(frozen=True, slots=True)
class Check:
    """One claim, and whether it holds here."""

    name: str
    compared: str
    """What with what."""
    measured: float | None
    """None where there is no number to compare."""
    allowed: float | None
    unit: str
    """Of both."""
    passed: bool | None
    """None where the claim is not made for this model, or could not be checked."""
    words: str
    """What was found."""

    @property
    def verdict(self) -> str:
        """The outcome in a word."""
        return {True: "passed", False: "FAILED", None: "not checked"}[self.passed]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and with what the checks were made."""

    model: str
    model_sha256: str
    """The digest of the weights as they are."""
    image: str
    image_sha256: str
    """Over dtype, shape and pixels of the part that was looked at."""
    part: str
    """Which part, in words."""
    device: str
    engine: str
    precision: str
    """Number format of the engine that was chosen; empty where it never ran."""
    versions: Mapping[str, str]
    computer: str
    date: str
    """UTC, ISO 8601."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks of one model on one image."""

    setting: Setting
    checks: tuple[Check, ...]
    scores: tuple[MeasuredScores, ...]
    """As the card has them: they are listed, not measured again."""

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(check.passed is not False for check in self.checks)

    @property
    def sentence(self) -> str:
        """The outcome in one sentence."""
        n_made = sum(check.passed is not None for check in self.checks)
        failed = [check.name for check in self.checks if check.passed is False]
        if failed:
            return f"Model '{self.setting.model}': {len(failed)} of {n_made} checks failed: {', '.join(failed)}."
        return f"Model '{self.setting.model}': all {n_made} checks passed."

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values that JSON can hold."""
        return {
            "passed": self.passed,
            "setting": {**asdict(self.setting), "versions": dict(self.setting.versions)},
            "checks": [asdict(check) for check in self.checks],
            "scores": [score.model_dump(mode="json") for score in self.scores],
        }


def as_markdown(verifications: Sequence[Verification]) -> str:
    """Write a report that can be read without Unveil."""
    n_failed = sum(not verification.passed for verification in verifications)
    outcome = "Everything that was checked holds." if not n_failed else f"{n_failed} of {len(verifications)} failed."
    lines = ["# Verification of models by Unveil", "", outcome]
    for verification in verifications:
        lines += ["", *_section(verification)]
    return "\n".join(lines) + "\n"


def as_json(verifications: Sequence[Verification]) -> dict[str, Any]:
    """Return a report as plain values that JSON can hold."""
    passed = all(verification.passed for verification in verifications)
    return {"passed": passed, "models": [verification.as_dict() for verification in verifications]}


def check_report_path(path: Path) -> None:
    """Refuse what is no name for a report.

    Raises
    ------
    ConfigError
        If it ends neither in .md nor in .json.
    """
    if path.suffix.lower() not in (".md", ".json"):
        raise ConfigError(f"A report is Markdown or JSON, not {path.name}. Call it {path.stem}.md or {path.stem}.json.")


def write_report(path: Path, verifications: Sequence[Verification]) -> None:
    """Write a report as Markdown or JSON, as the name of the file says.

    Raises
    ------
    ConfigError, FileError
        If the file is called otherwise, or cannot be written.
    """
    check_report_path(path)
    text = as_markdown(verifications)
    if path.suffix.lower() == ".json":
        text = json.dumps(as_json(verifications), indent=2, ensure_ascii=False) + "\n"
    with atomically(path) as part:
        part.write_text(text, encoding="utf-8")


def _section(verification: Verification) -> Iterator[str]:
    setting = verification.setting
    yield from (f"## {setting.model}", "", verification.sentence, "", "| check | outcome | measured | allowed |")
    yield "| --- | --- | --- | --- |"
    for check in verification.checks:
        numbers = (_number(value, check.unit) for value in (check.measured, check.allowed))
        yield f"| {check.name} | {check.verdict} | {' | '.join(numbers)} |"
    yield ""
    yield from (f"- **{check.name}**: {check.compared}. {check.words}" for check in verification.checks)
    yield from ("", f"- weights (SHA-256): `{setting.model_sha256}`")
    yield f"- image: {setting.image}, {setting.part}; pixels (SHA-256): `{setting.image_sha256}`"
    if setting.precision:
        yield f"- computed by {setting.engine} on {setting.device} in {setting.precision}"
    versions = ", ".join(f"{name} {version}" for name, version in setting.versions.items())
    yield f"- {versions}; {setting.computer}"
    yield f"- {setting.date}, {setting.seconds:.0f} s"
    for score in verification.scores:
        yield f"- recorded in the card, not measured again: {score.data}: {_scores(score.values)}"


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else " ".join(filter(None, (f"{value:.4g}", unit)))


def _scores(values: Mapping[str, Any]) -> str:
    """Write the numbers among a card's scores as ``iou 0.912, ap@0.50 0.851``."""
    numbers: dict[str, float] = {}
    for name, value in values.items():
        inner = (
            {f"{name}@{key}": number for key, number in value.items()} if isinstance(value, Mapping) else {name: value}
        )
        numbers |= {key: number for key, number in inner.items() if type(number) in (int, float)}
    return ", ".join(f"{key} {number:.4g}" for key, number in numbers.items())
