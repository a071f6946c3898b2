"""Run all checks of `unveil verify` on the shipped models, and draw how near to their limits they came.

    python benchmarks/guarantees/verification.py [--output FOLDER] [--pictures FOLDER]

Writes ``verification.json``, the report ``verification.md``, and the picture ``verification.svg``.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from unveil import verify
from unveil.io.library import list_models
from unveil.io.model_file import read_model
from unveil.io.samples import sample_for
from unveil.tasks.verification import Verification, as_markdown

ROOT = Path(__file__).parents[2]
SHOWN = ("check output", "tiles", "engine")
LEAST, MOST = 1e-9, 1.0
LEFT, RIGHT, ROW = 250, 720, 20


def main() -> None:
    """Check every shipped model; write what there is after each."""
    arguments = _arguments()
    done: list[Verification] = []
    for path in [entry.path for entry in list_models() if entry.origin == "shipped"]:
        model = read_model(path)
        done.append(verify(model, sample_for(model.card)))
        print(done[-1].sentence, flush=True)
        report = [verification.as_dict() for verification in done]
        (arguments.output / "verification.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        (arguments.output / "verification.md").write_text(as_markdown(done), encoding="utf-8")
        (arguments.pictures / "verification.svg").write_text(_figure(report), encoding="utf-8")


def _figure(report: list[dict[str, Any]]) -> str:
    """Draw a row per model and check: a dot where it was measured, a bar at what is allowed."""
    parts, y = [_text(LEFT, 24, "measured ●, allowed |   (0 stands at the left end)")], 40
    for found in report:
        y += 8
        parts.append(_text(10, y + 14, found["setting"]["model"]))
        for check in (check for check in found["checks"] if check["name"] in SHOWN):
            y += ROW
            measured, allowed = _x(check["measured"]), _x(check["allowed"])
            parts += [
                _text(LEFT - 12, y + 4, check["name"], "end"),
                f'<line x1="{LEFT}" y1="{y}" x2="{RIGHT}" y2="{y}" stroke="#ddd"/>',
                f'<rect x="{allowed:.1f}" y="{y - 6}" width="2" height="12" fill="#b33"/>',
                f'<circle cx="{measured:.1f}" cy="{y}" r="4" fill="#1f6f8b"/>',
            ]
    ticks = [10.0**n for n in range(-9, 1, 3)]
    parts += [_text(_x(tick), y + 30, f"{tick:g}", "middle") for tick in ticks]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {RIGHT + 40} {y + 44}" font-family="sans-serif"'
    ground = f'<rect width="{RIGHT + 40}" height="{y + 44}" fill="#fff"/>'
    return "\n".join([f'{head} font-size="12">', ground, *parts, "</svg>", ""])


def _x(value: float) -> float:
    share = math.log(max(value, LEAST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + (RIGHT - LEFT) * min(share, 1)


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result files")
    parser.add_argument("--pictures", type=Path, default=ROOT / "docs" / "images", help="folder for the picture")
    return parser.parse_args()


if __name__ == "__main__":
    main()
