"""`unveil inspect`: the layers of a model, their Lipschitz numbers, their filters, and what they make of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from unveil.cli.flowing import flowing
from unveil.cli.plan import check_tiff_output
from unveil.cli.terminal import Terminal
from unveil.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from unveil.image import Image
    from unveil.model.model import Model
    from unveil.networks.summary import NetworkSummary
    from unveil.tasks.inspect import LipschitzTable


@flowing
def inspect(
    model: str,
    /,
    *,
    size: int | None = None,
    lipschitz: bool = False,
    features: tuple[str, Path] | None = None,
    filters: str | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    frame: int | None = None,
    channel: str | None = None,
    axes: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Look into a model: its layers, their filters, what they make of an image, how far they can move it.

    Parameters
    ----------
    model
        Name of a model, or a model file.
    size
        Edge of the image that shapes are listed for, in pixels; 256 if not given.
    lipschitz
        Also compute how far each convolution, and the whole, can move its output per change of its input.
    features
        A layer and an image: write what the layer makes of the middle of the image, one channel per map.
    filters
        A layer: write the filters that it has learned as one image, a row per output and a column per input.
    output
        TIFF file for features or filters.
    frame
        With features: which plane (or volume, for 3D models) of a stack, counted from 0; the first if not given.
    channel
        With features: the channel to work on, by name or by a number from 0.
    axes
        With features: axes of the image (TCZYX), where the file does not say or is wrong.
    as_json
        Put one JSON object on standard output, everything else on standard error.
    """
    terminal = Terminal(as_json=as_json)
    with terminal.session():
        if features is not None and filters is not None:
            raise ConfigError("Both --features and --filters are given, and there is one --output. Write them in turn.")
        if (features is None and filters is None) != (output is None):
            raise ConfigError("--output belongs to --features or --filters. Give both, or none of them.")
        if features is None:
            _refuse_idle({"--frame": frame, "--channel": channel, "--axes": axes}, "--features")
        if output is not None:
            _refuse_idle({"--size": size, "--lipschitz": lipschitz or None}, "the table of layers, without --output")
        if output is None:
            _show(model, 256 if size is None else size, lipschitz, terminal)
        elif features is not None:
            layer, file = features
            _write_features(model, layer, file, output, frame=frame or 0, channel=channel, axes=axes, terminal=terminal)
        elif filters is not None:
            _write_filters(model, filters, output, terminal)


def _refuse_idle(options: Mapping[str, object], place: str) -> None:
    """Refuse options that would change nothing here."""
    idle = [name for name, value in options.items() if value is not None]
    if idle:
        verb = "belongs" if len(idle) == 1 else "belong"
        raise ConfigError(f"{' and '.join(idle)} {verb} to {place}. Leave {'it' if verb == 'belongs' else 'them'} out.")


def _show(name: str, size: int, with_norms: bool, terminal: Terminal) -> None:
    from unveil.io.card_file import read_card
    from unveil.io.library import find_model
    from unveil.tasks.inspect import summarize

    if size < 1:
        raise ConfigError(f"--size is {size}; an image has at least 1 pixel along an edge. Give a larger one.")
    card = read_card(find_model(name))
    summary = summarize(card, shape=(size,) * card.n_dims)
    found = _norms(_load(name), terminal) if with_norms else None
    if terminal.as_json:
        terminal.json(_as_json(card.name, summary, found))
        return
    terminal.table(_table(card.name, summary))
    if found is not None:
        terminal.table(_norms_table(found))
        terminal.result(found.words)


def _load(name: str) -> Model:
    from unveil.io.model_file import load_model

    return load_model(name)


def _norms(model: Model, terminal: Terminal) -> LipschitzTable:
    from unveil.tasks.inspect import lipschitz_table

    with terminal.progress() as bar:
        return lipschitz_table(model, monitor=bar.about("computing"))


def _write_features(
    name: str,
    layer: str,
    file: Path,
    output: Path,
    *,
    frame: int,
    channel: str | None,
    axes: str | None,
    terminal: Terminal,
) -> None:
    from unveil.image import Image
    from unveil.io.images import read_image
    from unveil.io.library import find_model
    from unveil.io.writing import check_output_file
    from unveil.tasks.inspect import feature_maps

    check_tiff_output(output, "Feature maps are", inputs=(file, find_model(name)))
    image = read_image(file, axes=axes)
    check_output_file(output)
    with terminal.progress() as bar:
        maps = feature_maps(image, _load(name), layer, frame=frame, channel=channel, monitor=bar.about(file.name))
    found = Image(maps.maps, maps.axes, pixel_size_um=maps.pixel_size_um, name=f"{image.name} {layer}")
    facts = {"layer": layer, "start": maps.start, "stride": maps.stride}
    words = f"from pixel {maps.start} of the image on, {_times(maps.stride)} of its pixels per pixel"
    _write(output, found, facts, words, terminal)


def _write_filters(name: str, layer: str, output: Path, terminal: Terminal) -> None:
    from unveil.image import Image
    from unveil.io.library import find_model
    from unveil.tasks.inspect import layer_filters, montage

    check_tiff_output(output, "Filters are", inputs=(find_model(name),))
    filters = layer_filters(_load(name), layer)
    sheet = montage(filters)
    image = Image(sheet, "ZYX"[-sheet.ndim :], name=f"{name} {layer}")
    n_out, n_in, *taps = filters.shape
    words = f"{n_out} × {n_in} filters of {_times(taps)}"
    _write(output, image, {"layer": layer, "filters": filters.shape}, words, terminal)


def _write(output: Path, image: Image, facts: dict[str, Any], words: str, terminal: Terminal) -> None:
    from unveil.io.writing import write_image

    write_image(output, image)
    if terminal.as_json:
        terminal.json({**facts, "output": str(output), "shape": image.shape})
    else:
        terminal.result(f"{output}: {_times(image.shape)} ({' '.join(image.axes)}), {words}")


def _as_json(name: str, summary: NetworkSummary, found: LipschitzTable | None) -> dict[str, Any]:
    norms = {} if found is None else {row.name: asdict(row) for row in found.layers}
    layers = [
        {
            "name": layer.name,
            "kind": layer.kind,
            "kernel": layer.kernel,
            "shape": layer.shape,
            "n_parameters": layer.n_parameters,
            "field_px": layer.field_px,
            "stride": layer.stride,
            **({"lipschitz": norms[layer.name]} if layer.name in norms else {}),
        }
        for layer in summary.layers
    ]
    whole = {} if found is None else {"lipschitz": asdict(found.bounds)}
    return {"model": name, "n_parameters": summary.n_parameters, "layers": layers, **whole}


def _table(name: str, summary: NetworkSummary) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(f"Model '{name}'"), show_footer=True)
    table.add_column("name", footer="total", no_wrap=True)
    table.add_column("layer")
    table.add_column("shape", justify="right", no_wrap=True)
    table.add_column("parameters", justify="right", footer=f"{summary.n_parameters:,}", no_wrap=True)
    table.add_column("sees", justify="right")
    table.add_column("stride", justify="right", no_wrap=True)
    for layer in summary.layers:
        seen, stride = _times_once(layer.field_px), _times_once(layer.stride)
        table.add_row(layer.name, layer.kind, _times(layer.shape), f"{layer.n_parameters:,}", seen, stride)
    return table


def _norms_table(found: LipschitzTable) -> Table:
    from rich.table import Table

    table = Table(title="Lipschitz numbers of the convolutions")
    for title in ("name", "weights", "from below", "periodic", "certified"):
        table.add_column(title, justify="left" if title == "name" else "right")
    for row in found.layers:
        table.add_row(row.name, _times(row.kernel), *row.words)
    return table


def _times(numbers: tuple[int, ...] | list[int]) -> str:
    return "×".join(map(str, numbers))


def _times_once(pixels: tuple[int, ...]) -> str:
    """Return one number where all axes are alike."""
    return f"{pixels[0]}" if len(set(pixels)) == 1 else _times(pixels)
