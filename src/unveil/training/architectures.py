"""The network that a training takes: the one that is asked for, with the channels and maps that the data need."""

from __future__ import annotations

from unveil.config.architecture import Architecture, UNetConfig
from unveil.config.training import DenoisingTraining, SegmentationTraining
from unveil.errors import ConfigError
from unveil.image import Image
from unveil.words import count


def segmentation_architecture(config: SegmentationTraining, image: Image) -> UNetConfig:
    """Return the network for images like `image`.

    Raises
    ------
    ConfigError
        If objects are asked for and there are several classes, or the network was given other channels or maps.
    """
    n_maps = len(config.classes) + config.objects
    n_channels = image.size("C")
    needed = {"in_channels": n_channels, "out_channels": n_maps}
    architecture = config.architecture or UNetConfig()
    if config.objects and len(config.classes) != 2:
        raise ConfigError(
            f"Objects are told apart for one foreground class, and there are {len(config.classes)} classes "
            f"({', '.join(config.classes)}). Name two, or train on classes (objects false)."
        )
    default = UNetConfig()  # a settings file writes it out where nobody chose
    wrong = [
        name for name, value in needed.items() if getattr(architecture, name) not in (value, getattr(default, name))
    ]
    if wrong:
        raise ConfigError(
            f"The network has {count(architecture.in_channels, 'input channel')} and "
            f"{count(architecture.out_channels, 'output map')}; "
            f"the images and classes need {n_channels} and {n_maps}. Leave {' and '.join(wrong)} out."
        )
    return architecture.model_copy(update=needed)


def denoising_architecture(config: DenoisingTraining) -> Architecture:
    """Return the network, which takes one channel and gives one.

    Raises
    ------
    ConfigError
        If it has others.
    """
    architecture = config.architecture
    if (architecture.in_channels, architecture.out_channels) != (1, 1):
        raise ConfigError(
            f"The network has {count(architecture.in_channels, 'input channel')} and "
            f"{count(architecture.out_channels, 'output channel')}; "
            f"channels are denoised one by one. Set both to 1."
        )
    return architecture
