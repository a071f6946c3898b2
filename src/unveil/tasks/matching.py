"""Check that a model and an image fit each other, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unveil.errors import ConfigError, MismatchError
from unveil.image import Image, check_is_image
from unveil.model.card import ModelCard, Task
from unveil.model.model import Model
from unveil.tasks.rescaling import factors_to_model
from unveil.words import count, with_article

_DOORS = {"segmentation": "segment", "denoising": "denoise"}


def card_of(model: Any) -> ModelCard:
    """Return the card of `model`.

    Raises
    ------
    ConfigError
        If it is no model: its name or its file, for example.
    """
    if isinstance(model, Model):
        return model.card
    raise ConfigError(
        f"Found {with_article(type(model).__name__)} where a model is expected. Load it first: load_model('nuclei')."
    )


def check_match(image: Any, card: ModelCard, task: Task) -> None:
    """Refuse what is no image, a model made for another task, and an image without the axes the model needs.

    Raises
    ------
    ImageError, MismatchError
        With what was found, what was expected and what to do.
    """
    check_is_image(image)
    if card.task != task:
        raise MismatchError(
            f"Model '{card.name}' was made for {card.task}, not for {task}. "
            f"Use it with {_DOORS[card.task]}, or choose a model for {task}."
        )
    if card.n_dims == 3 and "Z" not in image.axes:
        raise MismatchError(
            f"Image '{image.name}' has axes {image.axes}; model '{card.name}' expects volumes with axes Z, Y and X. "
            f"Choose a stack, or a model for planes."
        )


def check_ensemble(card: ModelCard, others: Sequence[ModelCard]) -> None:
    """Refuse to average models whose maps do not mean the same.

    Raises
    ------
    MismatchError
        If task, network, classes, kind of objects, normalization, order of the channels or pixel size of one of
        `others` differ from those of `card`.
    """
    for other in others:
        differ = [
            name
            for name in ("task", "architecture", "classes", "normalization")
            if getattr(card, name) != getattr(other, name)
        ]
        if (card.objects is None) != (other.objects is None):
            differ.append("objects")
        if card.channel_names != other.channel_names and sorted(card.channel_names) == sorted(other.channel_names):
            differ.append(f"order of channels ({', '.join(card.channel_names)}; {', '.join(other.channel_names)})")
        if factors_to_model(other.pixel_size_um, card):
            differ.append(f"pixel size ({_micrometres(card)} and {_micrometres(other)} µm)")
        if differ:
            raise MismatchError(
                f"Models '{card.name}' and '{other.name}' cannot be averaged: they differ in {', '.join(differ)}. "
                f"Give models that were trained with the same settings, from other seeds for example."
            )


def check_fit(image: Image, card: ModelCard, channel: int | str | None) -> None:
    """Check that the model takes the image, as far as axes and channels tell, before anything is made for results.

    Raises
    ------
    MismatchError
        With what was found, what was expected and what to do.
    """
    check_match(image, card, card.task)
    channel_sets(image, card, channel)


def choose_channels(image: Image, card: ModelCard, channel: int | str | None) -> tuple[int, ...]:
    """Return the channels of `image` that the model takes together; nothing is guessed.

    Several are taken by their names where the image has all those that the card names, whatever their order, and by
    their places where it has none of them: others name them otherwise.

    Raises
    ------
    MismatchError
        If the image has another number of channels than the model takes and no choice is made, or a wrong one, or
        lacks some of the channels that the card names.
    """
    chosen, n_channels, n_taken = image.channel_index(channel), image.size("C"), card.in_channels
    if chosen is not None and n_taken == 1:
        return (chosen,)
    there, wanted = image.channel_names, card.channel_names
    shared = set(there) & set(wanted) if _all_differ(there) and _all_differ(wanted) else set()
    if chosen is None and n_taken > 1 and wanted and shared == set(wanted):
        return tuple(map(there.index, wanted))
    if chosen is None and n_channels == n_taken and (n_taken == 1 or not shared):
        return tuple(range(n_channels))
    if chosen is not None:
        remedy = f"It takes {n_taken} channels together: choose none."
    elif n_taken == 1:
        remedy = f"Choose a channel by name, or by a number from 0 to {n_channels - 1}."
    else:
        remedy = f"Give an image with these {n_taken} channels, or choose another model."
    found = f"one channel of image '{image.name}' was chosen" if chosen is not None else _channels(image)
    names = f" ({', '.join(card.channel_names)})" if card.channel_names else ""
    raise MismatchError(f"{_capital(found)}; model '{card.name}' expects {n_taken}{names}. {remedy}")


def channel_sets(image: Image, card: ModelCard, channel: int | str | None) -> list[tuple[int, ...]]:
    """Return the channels that a run takes together: one set, or each by itself where they are denoised one by one.

    Raises
    ------
    MismatchError
        See `choose_channels`.
    """
    if card.task == "denoising" and card.in_channels == 1 and channel is None:
        return [(index,) for index in range(image.size("C"))]
    return [choose_channels(image, card, channel)]


def _micrometres(card: ModelCard) -> str:
    return " × ".join(f"{card.pixel_size_um[axis]:.3g}" for axis in "ZYX"[-card.n_dims :])


def _all_differ(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names)


def _channels(image: Image) -> str:
    names = f" ({', '.join(image.channel_names)})" if image.channel_names else ""
    return f"image '{image.name}' has {count(image.size('C'), 'channel')}{names}"


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
