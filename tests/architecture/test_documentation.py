"""What the documentation shows exists: links lead somewhere, commands parse, imports work, settings are all there."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from unveil.cli.main import make_app
from unveil.config.architecture import DnCNNConfig, NonexpansiveConfig, UNetConfig
from unveil.config.base import Config
from unveil.config.normalization import PercentileNormalization
from unveil.config.training import (
    AugmentationConfig,
    DenoisingTraining,
    NoiseConfig,
    SegmentationTraining,
    TrainingSchedule,
)
from unveil.io.library import list_models

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(p for d in ("docs", "benchmarks", "recipes") for p in sorted((ROOT / d).rglob("*.md"))),
]


def fenced(page: Path, language: str) -> Iterator[str]:
    """Yield the fenced code blocks of `page` in `language` ('' for plain)."""
    yield from re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of `page`."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


def commands() -> list[str]:
    lines = (line for page in PAGES for block in fenced(page, "") for line in block.splitlines())
    return [line.partition("#")[0].strip() for line in lines if line.startswith("unveil ")]


@pytest.mark.parametrize("command", commands())
def test_commands_parse(command: str) -> None:
    make_app().parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)


def test_there_are_commands_to_parse() -> None:
    assert len(commands()) > 10


def test_imports_of_the_examples_work() -> None:
    examples = [block for page in PAGES for block in fenced(page, "python")]
    assert examples
    for example in examples:
        imports = [node for node in ast.parse(example).body if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), "example", "exec"), {})


def test_models_of_the_examples_ship() -> None:
    shipped = {entry.name for entry in list_models() if entry.origin == "shipped"}
    named = {
        name for page in PAGES for name in re.findall(r'load_model\("([^"]+)"\)', page.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= shipped


def settings_of(kind: type[Config], prefix: str = "", leave_out: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield a row of the manual's table for each setting that can be described: key, default, description."""
    for name, field in kind.model_fields.items():
        if field.description and name not in leave_out:
            default = field.get_default(call_default_factory=True)
            shown = "" if default is None or isinstance(default, Config) else f"`{json.dumps(default)}`"
            yield f"| `{prefix}{name}` | {shown} | {field.description} |"


def test_the_manual_lists_every_setting_of_a_training_in_its_own_words() -> None:
    shared = frozenset(TrainingSchedule.model_fields)
    architectures = (UNetConfig, DnCNNConfig, NonexpansiveConfig)
    expected = [
        *settings_of(TrainingSchedule),
        *settings_of(SegmentationTraining, leave_out=shared),
        *settings_of(DenoisingTraining, leave_out=shared),
        *settings_of(AugmentationConfig, "augmentation."),
        *settings_of(NoiseConfig, "noise."),
        *settings_of(PercentileNormalization, "normalization."),
        *(row for kind in architectures for row in settings_of(kind, "architecture.")),
    ]
    page = (ROOT / "docs" / "training-settings.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("| `")] == expected


def test_the_plan_of_the_house_names_the_modules_that_are_there() -> None:
    named = set(re.findall(r"\b[a-z_]+\.py\b", (ROOT / "docs" / "DESIGN.md").read_text(encoding="utf-8")))
    source = ROOT / "src" / "unveil"
    assert not {path.name for path in (source / "widgets").glob("[!_]*.py")} - named
    assert not named - {path.name for path in source.rglob("*.py")}
