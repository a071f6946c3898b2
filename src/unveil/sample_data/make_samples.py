"""Make the sample images: a physical simulation of fluorescence microscopy.

::

    shapes ──▶ fluorophores ──▶ microscope ──▶ camera
    nuclei,    chromatin        blur by the    photons to electrons (Poisson), read noise (Gaussian),
    filaments  texture          diffraction    gain, offset, 16 bits
                                of its pupil

Everything follows from seeds: ``python -m unveil.sample_data.make_samples FOLDER`` writes the shipped files again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, stats

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Microscope:
    """What blurs: a lens of one colour, in widefield or (excitation and emission multiplied) confocal."""

    pixel_um: float
    section_um: float = 1.0
    numerical_aperture: float = 0.8
    refractive_index: float = 1.33
    wavelength_um: float = 0.52
    is_confocal: bool = False


@dataclass(frozen=True, slots=True)
class Camera:
    """What adds noise; the defaults are those of a usual scientific CMOS camera."""

    photons: float
    """Photons on a pixel where the blurred image is 1."""
    background_photons: float = 4.0
    quantum_efficiency: float = 0.8
    read_noise_e: float = 1.6
    grey_per_electron: float = 2.2
    offset_grey: float = 100.0

    def to_grey(self, electrons: Floats) -> NDArray[np.uint16]:
        """Convert electrons to grey values."""
        grey = np.rint(self.offset_grey + self.grey_per_electron * electrons)
        clipped: NDArray[np.uint16] = np.clip(grey, 0, 65535).astype(np.uint16)
        return clipped


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One simulated image: camera grey values with and without noise, and the objects in it.

    Attributes
    ----------
    noisy, clean
        uint16, shape ``(Y, X)`` or ``(Z, Y, X)``.
    labels
        uint16, the same shape: 0 background, 1 … n objects.
    """

    noisy: NDArray[np.uint16]
    clean: NDArray[np.uint16]
    labels: NDArray[np.uint16]
    microscope: Microscope


def nuclei(shape: tuple[int, int] = (512, 512), *, n_objects: int = 150, seed: int = 1) -> Sample:
    """Simulate a plane of stained nuclei, many of them touching, in widefield."""
    microscope = Microscope(pixel_um=0.5)
    rng = np.random.default_rng(seed)
    density, labels = _nuclei(shape, n_objects=n_objects, radii_px=[(8, 13), (8, 13)], rng=rng)
    shading = 1 - 0.35 * _distance_from_centre(shape) ** 2
    return _expose(density * shading, labels, microscope, Camera(photons=200, background_photons=12), rng)


def volume(shape: tuple[int, int, int] = (24, 128, 128), *, n_objects: int = 40, seed: int = 2) -> Sample:
    """Simulate a confocal stack of nuclei."""
    microscope = Microscope(pixel_um=0.4, section_um=1.0, numerical_aperture=1.1, is_confocal=True)
    rng = np.random.default_rng(seed)
    density, labels = _nuclei(shape, n_objects=n_objects, radii_px=[(3.5, 5), (9, 13), (9, 13)], rng=rng)
    return _expose(density, labels, microscope, Camera(photons=60), rng)


def filaments(shape: tuple[int, int] = (512, 512), *, n_objects: int = 110, seed: int = 3) -> Sample:
    """Simulate a plane of curved filaments in widefield, exposed so briefly that noise prevails."""
    microscope = Microscope(pixel_um=0.1, numerical_aperture=1.3, refractive_index=1.52)
    rng = np.random.default_rng(seed)
    density, labels = _filaments(shape, n_objects=n_objects, rng=rng)
    return _expose(density, labels, microscope, Camera(photons=35, background_photons=3), rng)


def write_samples(folder: Path) -> list[Path]:
    """Write the six sample files into `folder` and return their paths."""
    cells, stack, lines = nuclei(), volume(), filaments()
    return [
        _write(folder / "nuclei.tif", cells.noisy, cells.microscope),
        _write(folder / "nuclei_labels.tif", cells.labels, cells.microscope),
        _write(folder / "noisy.tif", lines.noisy, lines.microscope),
        _write(folder / "clean.tif", lines.clean, lines.microscope),
        _write(folder / "volume.tif", stack.noisy, stack.microscope),
        _write(folder / "volume_labels.tif", stack.labels, stack.microscope),
    ]


def _nuclei(
    shape: tuple[int, ...], *, n_objects: int, radii_px: list[tuple[float, float]], rng: np.random.Generator
) -> tuple[Floats, NDArray[np.uint16]]:
    """Place nuclei that may touch but not overlap; return fluorophore density (about 0 to 1) and labels."""
    labels, density = np.zeros(shape, np.uint16), np.zeros(shape)
    for _ in range(20 * n_objects):
        centre = _next_centre(labels, radii_px, rng)
        window, height = _nucleus(shape, centre, radii_px, rng)
        inside = height > 0
        taken = inside & (labels[window] > 0)
        if inside.sum() < 20 or taken.sum() > 0.05 * inside.sum():
            continue
        free = inside & ~taken
        labels[window][free] = labels.max() + 1
        density[window][free] = (height * rng.uniform(0.45, 1.0))[free]
        if labels.max() == n_objects:
            break
    return density * _chromatin(shape, rng), labels


def _next_centre(labels: NDArray[np.uint16], radii_px: list[tuple[float, float]], rng: np.random.Generator) -> Floats:
    """Choose a place anywhere, or (every other time) beside a nucleus that is there, so that clusters form."""
    shape = np.array(labels.shape, np.float64)
    if labels.max() == 0 or rng.random() < 0.5:
        return rng.uniform(0, shape)
    neighbour = np.array(ndimage.center_of_mass(labels == rng.integers(1, labels.max() + 1)))
    direction = rng.normal(size=labels.ndim)
    direction /= np.linalg.norm(direction)
    beside: Floats = neighbour + direction * 1.85 * np.mean(radii_px, axis=1)
    return beside


def _nucleus(
    shape: tuple[int, ...], centre: Floats, radii_px: list[tuple[float, float]], rng: np.random.Generator
) -> tuple[tuple[slice, ...], Floats]:
    """Make one dented ellipsoid: its window, and its height there (0 outside, 1 in the middle)."""
    radii = np.array([rng.uniform(low, high) for low, high in radii_px])
    waves = rng.normal(size=(4, len(shape))) * 1.6
    phases = rng.uniform(0, 2 * np.pi, 4)
    angle = rng.uniform(0, np.pi)
    low = np.clip(np.floor(centre - 1.5 * radii.max()), 0, shape).astype(int)
    high = np.clip(np.ceil(centre + 1.5 * radii.max()) + 1, 0, shape).astype(int)
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
    offset = grid - centre
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset[..., -2:] = offset[..., -2:] @ turn
    offset /= radii
    radius = np.sqrt((offset**2).sum(axis=-1)) + 1e-9
    dents = 0.07 * np.cos((offset / radius[..., None]) @ waves.T + phases).sum(axis=-1)
    return window, np.sqrt(np.clip(1 - (radius / (1 + dents)) ** 2, 0, None))


def _chromatin(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return a positive random texture of mean about 1."""
    field = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    texture: Floats = np.exp(0.25 * field / field.std())
    return texture


def _filaments(
    shape: tuple[int, ...], *, n_objects: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.uint16]]:
    """Draw smooth random curves; return fluorophore density and labels (later curves lie on top)."""
    density, labels = np.zeros(shape), np.zeros(shape, np.uint16)
    for index in range(1, n_objects + 1):
        steps = np.cumsum(rng.normal(0, 0.012, size=rng.integers(300, 900))) + rng.uniform(0, 2 * np.pi)
        path = rng.uniform(0, shape) + 0.5 * np.cumsum(np.stack([np.sin(steps), np.cos(steps)], axis=1), axis=0)
        pixels = np.floor(path).astype(int)
        pixels = pixels[np.all((pixels >= 0) & (pixels < shape), axis=1)]
        np.add.at(density, tuple(pixels.T), 0.6 * rng.uniform(0.4, 1))
        labels[tuple(pixels.T)] = index
    return density, labels


def _distance_from_centre(shape: tuple[int, ...]) -> Floats:
    """Return 0 in the centre and 1 in the corners."""
    axes = [np.linspace(-1, 1, n) for n in shape]
    squares = sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij"))
    distance: Floats = np.sqrt(squares / len(shape))
    return distance


def _expose(
    density: Floats, labels: NDArray[np.uint16], microscope: Microscope, camera: Camera, rng: np.random.Generator
) -> Sample:
    """Blur fluorophores by the microscope and record them with the camera."""
    electrons = camera.quantum_efficiency * (camera.photons * blur(density, microscope) + camera.background_photons)
    # The inverse distribution takes one random number per pixel whatever the rate: a last-digit difference between
    # processors changes one pixel at most, not all that follow.
    noisy_electrons = stats.poisson.ppf(rng.uniform(size=density.shape), electrons)
    read = rng.normal(0, camera.read_noise_e, density.shape)
    return Sample(camera.to_grey(noisy_electrons + read), camera.to_grey(electrons), labels, microscope)


def blur(density: Floats, microscope: Microscope) -> Floats:
    """Convolve fluorophores with the microscope's point spread function.

    Parameters
    ----------
    density
        float64, shape ``(Y, X)`` or ``(Z, Y, X)``, not negative.
    """
    planes = density if density.ndim == 3 else density[None]
    pad = [(0, 0), (16, 16), (16, 16)]
    spectra = fft.rfft2(np.pad(planes, pad, mode="reflect"))
    transfer = list(_transfer_functions(len(planes), [n + 32 for n in planes.shape[1:]], microscope))
    blurred: Floats = np.stack(
        [
            fft.irfft2(sum(transfer[abs(z - source)] * spectra[source] for source in range(len(planes))))
            for z in range(len(planes))
        ]
    )[:, 16 : 16 + planes.shape[1], 16 : 16 + planes.shape[2]]
    positive: Floats = np.clip(blurred, 0, None).reshape(density.shape)
    return positive


def _transfer_functions(n_planes: int, plane_shape: list[int], microscope: Microscope) -> Iterator[NDArray[Any]]:
    """Yield the optical transfer function for each defocus, 0 to ``n_planes − 1`` sections.

    Scalar diffraction of a circular pupil with the phase of defocus (Goodman, Introduction to Fourier Optics, 6.4):
    the point spread function is the squared modulus of the pupil's Fourier transform. It is computed on a grid fine
    enough for the lens and summed over the area of each camera pixel.
    """
    cutoff = microscope.numerical_aperture / microscope.wavelength_um
    finest = (4 if microscope.is_confocal else 2) * cutoff
    n_fine = 2 * int(np.ceil(finest * microscope.pixel_um)) + 1  # odd, so that a fine pixel lies in the middle
    fy, fx = np.meshgrid(*(fft.fftfreq(n * n_fine, microscope.pixel_um / n_fine) for n in plane_shape), indexing="ij")
    f_squared = fy**2 + fx**2
    f_axial = np.sqrt(np.clip((microscope.refractive_index / microscope.wavelength_um) ** 2 - f_squared, 0, None))
    total = None
    for plane in range(n_planes):
        phase = 2j * np.pi * f_axial * plane * microscope.section_um
        spread = np.abs(fft.ifft2((f_squared <= cutoff**2) * np.exp(phase))) ** 2
        spread = spread**2 if microscope.is_confocal else spread
        blocks = np.roll(spread, (n_fine // 2, n_fine // 2), axis=(0, 1)).reshape(
            plane_shape[0], n_fine, plane_shape[1], n_fine
        )
        per_pixel = blocks.sum(axis=(1, 3))
        total = per_pixel.sum() if total is None else total
        yield fft.rfft2(per_pixel / total)


def _write(path: Path, image: NDArray[np.uint16], microscope: Microscope) -> Path:
    """Write a compressed TIFF that FIJI, napari and Unveil read with its pixel size."""
    import tifffile

    metadata: dict[str, Any] = {"axes": "ZYX" if image.ndim == 3 else "YX", "unit": "um"}
    if image.ndim == 3:
        metadata["spacing"] = microscope.section_um
    per_um = 1 / microscope.pixel_um
    tifffile.imwrite(
        path,
        image,
        imagej=True,
        resolution=(per_um, per_um),
        metadata=metadata,
        compression="zlib",
        predictor=image.dtype == np.uint16 and "labels" not in path.name,
    )
    return path


def main() -> None:
    """Write the samples into the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Write the simulated sample images.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent)
    for path in write_samples(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()
