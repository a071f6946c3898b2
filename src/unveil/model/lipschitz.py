"""How sensitive a model is to its input: a certified upper and a lower bound of its Lipschitz constant."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unveil.model.card import LipschitzCertificate
from unveil.model.model import Model, SegmentationActivation
from unveil.networks.lipschitz import LayerBound, certified_bound, layer_bound
from unveil.operators.lipschitz import ACTIVATIONS, at_most, compose, separate, softmax
from unveil.operators.stretching import ascend

UPPER = "Gram iteration per convolution, composed over the network: certified, for zero padding at every image size"
LOWER = "ascent of ‖f(x + d) − f(x)‖ / ‖d‖ from the check image: reached, so that no smaller constant is true"
_PROMISED_DIGITS = 6
"""Of a certificate: other processors sum in another order, and must not find a promise broken in the last digit."""
COVERS = "the map from normalized intensities to the network's output, computed exactly, at every image size"


@dataclass(frozen=True, slots=True)
class LipschitzBounds:
    """The constant of the map from normalized intensities to the model's output lies between the two.

    Attributes
    ----------
    upper, lower
        Output per input, in the Euclidean norm over all pixels and channels; the lower one at one image size.
    upper_method, lower_method
        How each was found.
    """

    upper: float
    lower: float
    upper_method: str = UPPER
    lower_method: str = LOWER


def lipschitz_bounds(
    model: Model,
    *,
    size_px: int = 32,
    n_rounds: int = 4,
    of_layer: LayerBound = layer_bound,
    watch: Callable[[], None] = lambda: None,
) -> LipschitzBounds:
    """Bound the Lipschitz constant of `model`, output activation included, from both sides.

    Parameters
    ----------
    size_px
        Edge of the part of the check input from which the ascent begins; a multiple of the size step.
    n_rounds
        Of the ascent; more find more.
    of_layer
        Bounds the convolutions.
    watch
        Called before each pass through the network; what it raises ends the work.

    Raises
    ------
    InputError
        If no bound is known for the network: classical filters.
    """
    upper = model_bound(model, of_layer)
    module = copy.deepcopy(model.inference_module()).double()

    def watched(image: Tensor) -> Tensor:
        watch()
        output: Tensor = module(image)
        return output

    window = (slice(None), slice(None), *(slice(size_px),) * model.card.n_dims)
    start = torch.from_numpy(model.check_input[window]).double()
    return LipschitzBounds(upper, ascend(watched, start, n_rounds=n_rounds))


def model_bound(model: Model, of_layer: LayerBound = layer_bound) -> float:
    """Return the certified upper bound alone; `of_layer` bounds the convolutions.

    Raises
    ------
    InputError
        If no bound is known for the network: classical filters.
    """
    module = model.inference_module()
    if isinstance(module, SegmentationActivation):
        return compose(certified_bound(module.network, of_layer), _activation_bound(module, model.card.n_maps))
    return certified_bound(module, of_layer)


def with_certificate(model: Model, of_layer: LayerBound = layer_bound) -> Model:
    """Return `model` with its certified bound in its card, rounded up; `of_layer` bounds the convolutions.

    Raises
    ------
    InputError
        If no bound is known for the network.
    """
    bound = at_most(model_bound(model, of_layer), _PROMISED_DIGITS)
    certificate = LipschitzCertificate(bound=bound, method=UPPER, covers=COVERS)
    return replace(model, card=model.card.model_copy(update={"certificate": certificate}))


def _activation_bound(activation: SegmentationActivation, n_maps: int) -> float:
    """Bound softmax over the classes beside clipping of further maps."""
    further = [ACTIVATIONS["clip"]] if n_maps > activation.n_classes else []
    return separate(softmax(activation.temperature), *further)
