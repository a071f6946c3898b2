"""A classical filter at the size that the user chose."""

from __future__ import annotations

from unveil.config.architecture import FilterConfig
from unveil.config.options import RunOptions
from unveil.model.model import Model
from unveil.networks.build import build_network
from unveil.operators.receptive_field import halo


def with_chosen_size(model: Model, options: RunOptions) -> Model:
    """Return `model` with the size and strength of `options`, where it is a classical filter; other models as is."""
    own = model.card.architecture
    if not isinstance(own, FilterConfig):
        return model
    chosen = {name: value for name in own.choices if (value := getattr(options, name)) is not None}
    architecture = FilterConfig.model_validate({**own.model_dump(), **chosen})
    if architecture == own:
        return model
    card = model.card.model_copy(update={"architecture": architecture, "halo": halo(architecture)})
    return Model.make(card, build_network(architecture), model.check_input)
