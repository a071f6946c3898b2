"""Simulate annotation block by block, and count how many ranked blocks teach what random ones teach.

    python benchmarks/guarantees/annotate_next.py --data FOLDER [--left-out 80] [--pool 60]
        [--seeds 40 41 … 51] [--arms random ranked] [--counts 5 10 16 24] [--steps 300] [--shrink 2]
        [--output FILE]
    python benchmarks/guarantees/annotate_next.py --plot SVG [--output FILE] [--and-of FILE …]

FOLDER holds ``train`` and ``test``, each with ``images/`` and ``masks/`` (dsb2018_fluo). Some images of ``train`` are
left out of all pools, and judge beside those of ``test``; from the others a pool is drawn, per seed another one. Of
each image the middle counts, at most 256 × 256 pixels, here and where it is judged, at half its size, which saves time
for more pools.
The masks of more and more blocks are revealed, random ones or those that `suggest_blocks` ranks first, and
`simulated-cells`, which has never seen a real image, is trained on all revealed so far: always from its own weights,
for the same number of steps. It ranks the first ten itself, as many as the panel suggests at a time; after these, the
model that was trained last ranks. AP is pooled over all images that judge. Where no counts are given, ranked blocks are
revealed until there are 0.6 times as many as random ones: the goal.

The table is written after every round, and what it holds is not computed again. ``--plot`` draws it, and prints how
many ranked blocks reach the AP of N random ones, divided by N, and how far 0.6 N of them are ahead.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil import Annotation, Image, Model, SegmentationTraining, evaluate, load_model, train
from unveil.events import ignore
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.operators.acquisition import block_starts
from unveil.tasks.suggest import suggest_blocks

START = "simulated-cells"
CROP_PX = 256
ARMS = ("random", "ranked")
ROUND = 10
"""Blocks that are ranked at a time."""
COUNTS = {"random": (5, 10, 16, 24), "ranked": (3, 6, 9, 14)}
JUDGES = ("test", "left out")
COLOURS = {"random": "#1f6f8b", "ranked": "#c1440e"}
LEFT, RIGHT, TOP, BOTTOM = 60, 620, 40, 340

GOAL = 0.6
"""Ranked blocks that are to teach as much as a random one."""
N_RESAMPLES, INTERVAL = 2000, (0.05, 0.95)

Floats = NDArray[np.float64]
Pair = tuple[Image, Image]
Block = tuple[int, int, int]
"""Image, first row, first column."""
Judges = dict[str, list[Pair]]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Terms:
    """What all rows of a table share.

    Attributes
    ----------
    pool
        Images of which blocks can be revealed.
    left_out
        Images of ``train`` that are in no pool.
    steps, batch, patch_px
        Of each training.
    shrink
        So many pixels along each axis became one, to save time.
    """

    pool: int
    left_out: int
    steps: int
    batch: int
    patch_px: int
    block_px: int
    shrink: int


def main() -> None:
    """Simulate what is not in the table yet, or draw it."""
    arguments = _arguments()
    if arguments.plot:
        report = json.loads(arguments.output.read_text())
        for file in arguments.and_of:
            report["rows"] += json.loads(file.read_text())["rows"]
        arguments.plot.write_text(figure(report), encoding="utf-8")
        print(json.dumps(ratios(report), indent=2))
        return
    terms = Terms(**{name: getattr(arguments, name) for name in Terms.__dataclass_fields__})
    everything = _pairs(arguments.data / "train", terms)
    order = np.random.default_rng(0).permutation(len(everything))
    left_out, others = ([everything[i] for i in part] for part in np.split(order, [terms.left_out]))
    judges = dict(zip(JUDGES, (_pairs(arguments.data / "test", terms), left_out), strict=True))
    report = _begun(arguments.output, terms, judges)
    for seed, arm in product(arguments.seeds, arguments.arms):
        pool = [others[i] for i in np.random.default_rng(seed).permutation(len(others))[: terms.pool]]
        for row in _simulated(report, terms, arm, seed, pool, judges, arguments.counts or COUNTS[arm]):
            _note(report, row, arguments.output)
            print(json.dumps({key: value for key, value in row.items() if key != "blocks"}), flush=True)


def _simulated(
    report: Row, terms: Terms, arm: str, seed: int, pool: list[Pair], judges: Judges, counts: Sequence[int]
) -> Iterator[Row]:
    """Go through the rounds of one arm and seed, and yield a row for each that is not in the table."""
    done = {row["n"]: row for row in report["rows"] if _is(row, arm, seed)}
    first = _ranked(pool, [], ROUND, load_model(START), terms) if arm == "ranked" else []
    revealed: list[Block] = []
    model: Model | None = None
    for n in counts:
        if n in done:
            revealed, model = [tuple(block) for block in done[n]["blocks"]], None
            continue
        if arm == "random":
            revealed = revealed + _random(pool, revealed, n - len(revealed), seed, terms)
        elif n > len(first):
            # gone on with, the model of the round before is made again
            model = model or _trained(pool, revealed, seed, terms)
            revealed = revealed + first[len(revealed) :]
            revealed = revealed + _ranked(pool, revealed, n - len(revealed), model, terms)
        else:
            revealed = first[:n]
        model = _trained(pool, revealed, seed, terms)
        shown = _shown(pool, revealed, terms)
        yield {"arm": arm, "seed": seed, "n": n, **_scores(model, judges), **shown, "blocks": revealed}


def _note(report: Row, row: Row, path: Path) -> None:
    """Add `row` to the table on the disk, to which another process may add the rows of the other arm."""
    if path.exists():
        report["rows"] = json.loads(path.read_text())["rows"]
    report["rows"].append(row)
    path.write_text(json.dumps(report) + "\n")


def _random(pool: Sequence[Pair], revealed: Sequence[Block], n: int, seed: int, terms: Terms) -> list[Block]:
    """Draw from the blocks that ranking chooses from, evenly; none overlaps another."""
    candidates = [
        (number, top, left)
        for number, (image, _) in enumerate(pool)
        for top in block_starts(image.shape[0], terms.block_px)
        for left in block_starts(image.shape[1], terms.block_px)
    ]
    taken = list(revealed)
    for at in np.random.default_rng([seed, 1]).permutation(len(candidates)):
        if len(taken) == len(revealed) + n:
            break
        if not any(_overlap(candidates[at], other, terms) for other in taken):
            taken.append(candidates[at])
    return taken[len(revealed) :]


def _ranked(pool: Sequence[Pair], revealed: Sequence[Block], n: int, model: Model, terms: Terms) -> list[Block]:
    annotations = [
        Annotation(labels, mask) for (_, labels), mask in zip(pool, _masks(pool, revealed, terms), strict=True)
    ]
    found = suggest_blocks(
        [image for image, _ in pool], model, annotations, n=n, block_px=terms.block_px, monitor=ignore
    )
    return [(one.image, one.window[0].start, one.window[1].start) for one in found]


def _trained(pool: Sequence[Pair], revealed: Sequence[Block], seed: int, terms: Terms) -> Model:
    """Train the starting model on what is revealed, and on nothing else of the pool."""
    settings = SegmentationTraining(
        seed=seed, patch_px=terms.patch_px, batch_size=terms.batch, epochs=1, steps_per_epoch=terms.steps,
        validation_fraction=0.0, patience=0, precision="exact",
    )  # fmt: skip
    shown = [(pair, mask) for pair, mask in zip(pool, _masks(pool, revealed, terms), strict=True) if mask.any()]
    annotations = [_drawn(labels, mask) for (_, labels), mask in shown]
    return train([image for (image, _), _ in shown], annotations, settings, start=load_model(START), monitor=ignore)


def _drawn(labels: Image, mask: NDArray[np.bool_]) -> Annotation:
    """Return what a person draws who annotates the blocks of `mask`: their objects, also where they reach beyond."""
    pixels = np.asarray(labels.data)
    seen = np.isin(pixels, np.unique(pixels[mask]))
    return Annotation(labels.like(np.where(seen, pixels, 0), labels.axes), mask)


def _masks(pool: Sequence[Pair], revealed: Sequence[Block], terms: Terms) -> list[NDArray[np.bool_]]:
    masks = [np.zeros(image.shape, bool) for image, _ in pool]
    for number, top, left in revealed:
        masks[number][top : top + terms.block_px, left : left + terms.block_px] = True
    return masks


def _scores(model: Model, judges: Judges) -> Row:
    found = {}
    for name, pairs in judges.items():
        values = evaluate(model, *map(list, zip(*pairs, strict=True)), monitor=ignore).as_dict()
        found[name] = {measure: values[measure] for measure in ("iou", "ap", "ap_mean")}
    return found


def _shown(pool: Sequence[Pair], revealed: Sequence[Block], terms: Terms) -> Row:
    """Count what a person would have annotated."""
    objects = [
        np.unique(np.asarray(pool[i][1].data)[y : y + terms.block_px, x : x + terms.block_px]) for i, y, x in revealed
    ]
    return {
        "n_objects": sum(int(np.count_nonzero(one)) for one in objects),
        "n_empty": sum(not one.any() for one in objects),
        "n_images": len({block[0] for block in revealed}),
    }


def _overlap(one: Block, other: Block, terms: Terms) -> bool:
    return one[0] == other[0] and all(abs(a - b) < terms.block_px for a, b in zip(one[1:], other[1:], strict=True))


def ratios(report: Row) -> list[Row]:
    """Return, per N, the ranked blocks that reach what N random ones reach, divided by N.

    Means over pools, joined by straight lines that begin at the model as shipped. N at which random blocks are not
    better than no blocks is left out; None where the ranked ones do not get there. The interval holds 90 % of what
    comes of pools drawn anew from these, with replacement, the same for both arms.
    """
    return [row for judge, measure in product(JUDGES, ("ap50", "ap_mean")) for row in _ratios(report, judge, measure)]


def _ratios(report: Row, judge: str, measure: str) -> Iterator[Row]:
    start = _value(report["start"], judge, measure)
    pools = sorted({row["seed"] for row in report["rows"]})
    curves = {arm: _curve(report, arm, judge, measure) for arm in ARMS}
    values = {
        arm: {n: np.array([of_pool[pool] for pool in pools]) for n, of_pool in curve.items()}
        for arm, curve in curves.items()
    }
    drawn = np.random.default_rng(0).integers(len(pools), size=(N_RESAMPLES, len(pools)))
    for n, random in values["random"].items():
        if random.mean() > start:
            needed = _needed(start, values["ranked"], random, np.arange(len(pools)))
            resampled = [_needed(start, values["ranked"], random, some) or math.inf for some in drawn]
            low, high = np.quantile(resampled, INTERVAL, method="nearest") / n
            yield {
                "judge": judge,
                "measure": measure,
                "n_random": n,
                "random": float(random.mean()),
                "n_ranked": needed,
                "ratio": None if needed is None else needed / n,
                "interval": [end if math.isfinite(end) else None for end in (float(low), float(high))],
                **_ahead(values["ranked"].get(int(GOAL * n)), random),
            }


def _ahead(ranked: Floats | None, random: Floats) -> Row:
    """Return by how much 0.6 N ranked blocks are ahead of N random ones, and the standard error over pools."""
    if ranked is None:
        return {}
    ahead = ranked - random
    return {"ahead": float(ahead.mean()), "standard_error": float(ahead.std(ddof=1) / math.sqrt(len(ahead)))}


def _needed(start: float, ranked: dict[int, Floats], random: Floats, pools: NDArray[np.intp]) -> float | None:
    curve = [(0, start), *((n, float(values[pools].mean())) for n, values in ranked.items())]
    return _reach(curve, float(random[pools].mean()))


def _is(row: Row, arm: str, seed: int) -> bool:
    return bool(row["arm"] == arm and row["seed"] == seed)


def _reach(curve: Sequence[tuple[float, float]], ap: float) -> float | None:
    """Return where `curve` first comes to `ap`."""
    for (n, low), (n_next, high) in pairwise(curve):
        if high >= ap:
            return n_next if low >= ap else n + (n_next - n) * (ap - low) / (high - low)
    return None


def _curve(report: Row, arm: str, judge: str, measure: str) -> dict[int, dict[int, float]]:
    """Return, per number of blocks, the value of each pool."""
    values: dict[int, dict[int, float]] = defaultdict(dict)
    for row in report["rows"]:
        if row["arm"] == arm:
            values[row["n"]][row["seed"]] = _value(row, judge, measure)
    return dict(sorted(values.items()))


def _value(row: Row, judge: str, measure: str) -> float:
    return float(row[judge]["ap"]["0.50"] if measure == "ap50" else row[judge]["ap_mean"])


def figure(report: Row, judge: str = "test") -> str:
    """Draw AP@0.50 against the number of blocks, as SVG: a dot per training, a line through the means."""
    most = max(row["n"] for row in report["rows"])
    start = _value(report["start"], judge, "ap50")
    values = [start, *(_value(row, judge, "ap50") for row in report["rows"])]
    low, high = np.floor(min(values) * 10) / 10, np.ceil(max(values) * 10) / 10

    def x(n: float) -> float:
        return LEFT + (RIGHT - LEFT) * n / most

    def y(ap: float) -> float:
        return float(BOTTOM - (BOTTOM - TOP) * (ap - low) / (high - low))

    parts = []
    for ap in np.arange(low, high + 0.01, 0.1):
        parts.append(f'<path d="M{LEFT} {y(ap):.1f}H{RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 8, y(ap) + 4, f"{ap:.1f}", "end"))
    parts += [_text(x(n), BOTTOM + 18, str(n), "middle") for n in sorted({0, *(row["n"] for row in report["rows"])})]
    parts.append(
        _text((LEFT + RIGHT) / 2, BOTTOM + 40, f"annotated blocks of {report['terms']['block_px']}² pixels", "middle")
    )
    parts.append(_text((LEFT + RIGHT) / 2, TOP - 18, f"AP@0.50 on {report['n_judges'][judge]} test images", "middle"))
    for number, arm in enumerate(ARMS):
        means = [(0.0, start), *((n, mean(aps.values())) for n, aps in _curve(report, arm, judge, "ap50").items())]
        points = " ".join(f"{x(n):.1f},{y(ap):.1f}" for n, ap in means)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[arm]}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x(row["n"]):.1f}" cy="{y(_value(row, judge, "ap50")):.1f}" r="3.5" fill="{COLOURS[arm]}"/>'
            for row in report["rows"]
            if row["arm"] == arm
        ]
        parts.append(_text(RIGHT - 6, BOTTOM - 12 - 18 * number, f"{arm} blocks", "end", COLOURS[arm]))
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 400" font-family="sans-serif" font-size="13">'
    return "\n".join([head, '<rect width="640" height="400" fill="#fff"/>', *parts, "</svg>", ""])


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def _begun(path: Path, terms: Terms, judges: Judges) -> Row:
    """Return the table so far, or one with the score of the model as shipped."""
    if path.exists():
        report: Row = json.loads(path.read_text())
        if report["terms"] != asdict(terms):
            raise SystemExit(f"{path} was made with {report['terms']}, not {asdict(terms)}. Choose another --output.")
        return report
    start = _scores(load_model(START), judges)
    print(json.dumps({"start": start}), flush=True)
    sizes = {name: len(pairs) for name, pairs in judges.items()}
    return {"terms": asdict(terms), "n_judges": sizes, "start": start, "rows": []}


def _pairs(folder: Path, terms: Terms) -> list[Pair]:
    return [
        (
            _middle(read_image(image), terms.shrink, as_labels=False),
            _middle(read_labels(mask), terms.shrink, as_labels=True),
        )
        for image, mask in pair_files(folder / "images", folder / "masks")
    ]


def _middle(image: Image, shrink: int, *, as_labels: bool) -> Image:
    """Cut out the middle, and shrink it: intensities by their means, labels by one in so many."""
    key = tuple(slice(max(0, n - CROP_PX) // 2, max(0, n - CROP_PX) // 2 + min(n, CROP_PX)) for n in image.shape)
    pixels = np.asarray(image.data)[key]
    if shrink > 1:
        height, width = (n // shrink * shrink for n in pixels.shape)
        parts = pixels[:height, :width].reshape(height // shrink, shrink, width // shrink, shrink)
        pixels = parts[:, shrink // 2, :, shrink // 2] if as_labels else parts.mean(axis=(1, 3), dtype=np.float32)
    return Image(pixels, image.axes, name=image.name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="folder of the real images")
    what.add_argument("--plot", type=Path, help="draw the table into this SVG file instead of simulating")
    parser.add_argument("--and-of", type=Path, nargs="+", default=[], help="tables of other pools, to draw together")
    parser.add_argument("--left-out", type=int, default=80, help="images of train in no pool, which judge")
    parser.add_argument("--pool", type=int, default=60, help="images of which blocks can be revealed")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(40, 52)), help="one pool each")
    parser.add_argument("--arms", choices=ARMS, nargs="+", default=ARMS, help="which blocks are revealed")
    parser.add_argument("--counts", type=int, nargs="+", help="blocks after each round")
    parser.add_argument("--steps", type=int, default=300, help="steps of each training")
    parser.add_argument("--batch", type=int, default=4, help="patches per step")
    parser.add_argument("--patch-px", type=int, default=48, help="edge of the training patches")
    parser.add_argument("--block-px", type=int, default=32, help="edge of a block")
    parser.add_argument("--shrink", type=int, default=2, help="shrink all images by this factor, to save time")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_suffix(".json"), help="where the table is kept"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
