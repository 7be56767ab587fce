"""The ladder of denoisers (course, section 11): what each rung knows, and what it believes in.

    python examples/ladder.py            # six minutes or so
    python examples/ladder.py --fast     # seconds: what the tests run

photograph: one photograph at three levels of noise, down the ladder: Wiener's filter by its own spectrum, wavelets, a
mixture of patches and a network that were learned from other photographs. basis: the directions in which the network
shrinks least, eigenvectors of its Jacobian, at an edge, at a texture, and at a C^alpha image: they follow what is
there. prior: what each rung draws by reversed diffusion, which is all that it knows.
"""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from skimage import data as pictures
from sklearn.datasets import load_sample_image
from torch import Tensor

import monge
from gallery import Save, asked
from monge import rng, samplers
from monge.denoisers import PatchMixture, WaveletShrinkage, Wiener
from monge.evaluation import jacobian, psnr
from monge.nets import Size
from monge.protocols import Denoiser

LEVELS = (15.0, 25.0, 50.0)
OTHERS = ("astronaut", "coffee", "rocket", "coins", "brick", "grass", "gravel", "moon")
SHOWN = 128
MIDDLE, SPREAD = 120.0, 60.0  # of gray levels: denoisers that drive a sampler work in units of the spread


def gray(picture: np.ndarray) -> np.ndarray:
    return np.rint(picture @ np.array([0.299, 0.587, 0.114]) if picture.ndim == 3 else picture).astype(np.uint8)


def learned(fast: bool, crop: int) -> tuple[monge.Diffusion, PatchMixture]:
    """A blind network and a mixture of patches, of photographs that are not shown."""
    others = [gray(getattr(pictures, name)()) for name in OTHERS[: 1 if fast else None]]
    others.append(gray(load_sample_image("flower.jpg")))
    crops = monge.data.load(others, crop=crop, name="photographs")
    size, seconds, components = (Size(widths=(8, 8)), 1.0, 3) if fast else (None, 240.0, 50)
    network = monge.Diffusion(blind=True, net=size).fit(crops, budget=seconds, show=False)
    return network, PatchMixture.of(
        crops.batch(torch.arange(0, len(crops), 1 + len(crops) // (20 if fast else 500))), components=components
    )


def rungs(network: monge.Diffusion, patches: PatchMixture) -> dict[str, Denoiser]:
    return {
        "Wiener": Wiener(),
        "wavelets": WaveletShrinkage(),
        "patches": patches,
        "network": network.denoise,
    }


def show(axes: Axes, x: Tensor, title: str = "", low: float = 0.0, high: float = 255.0) -> None:
    axes.imshow(x.squeeze(), cmap="gray", vmin=low, vmax=high)
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def picture_photograph(ladder: dict[str, Denoiser], levels: Sequence[float], save: Save) -> None:
    photo = gray(load_sample_image("china.jpg"))[80 : 80 + SHOWN, 230 : 230 + SHOWN]
    x = torch.from_numpy(photo).float()[None, None]
    figure = Figure(figsize=(11, 0.4 + 2.2 * len(levels)), layout="constrained")
    every = figure.subplots(len(levels), 1 + len(ladder), squeeze=False)
    for row, sigma in zip(every, levels, strict=True):
        y = x + sigma * rng.normal(tuple(x.shape), 0, "ladder")
        show(row[0], y, f"sigma {sigma:g}: {float(psnr(y, x, 255.0)):.1f} dB")
        for axes, (name, D) in zip(row[1:], ladder.items(), strict=True):
            x_hat = D(y, torch.tensor([sigma]))
            show(axes, x_hat, f"{name}: {float(psnr(x_hat, x, 255.0)):.1f} dB")
    save("photograph", figure)


def picture_basis(network: monge.Diffusion, side: int, shown: int, save: Save) -> None:
    photo = torch.from_numpy(gray(load_sample_image("china.jpg"))).float()
    grass = torch.from_numpy(gray(pictures.grass())).float()
    smooth = monge.data.c_alpha(2, 3, size=side, alpha=2.0).x[0]
    events = {
        "an edge": photo[90 : 90 + side, 250 : 250 + side][None],
        "a texture": grass[200 : 200 + side, 200 : 200 + side][None],
        "a C^2 image": 255 * (smooth - smooth.min()) / (smooth.max() - smooth.min()),
    }
    sigma, unit = 25.0, network.units
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    every = figure.subplots(len(events), 1 + shown)
    for row, (name, x) in zip(every, events.items(), strict=True):
        y = x + sigma * rng.normal(tuple(x.shape), 0, "basis")
        found = jacobian(network.denoiser, unit.forward(y[None], noisy=True)[0], sigma / unit.unit, k=shown, probes=8)
        show(row[0], y, f"{name}\n{found.dimension:,.0f} of {y.numel():,} kept")
        for axes, value, vector in zip(row[1:], found.eigenvalues, found.basis, strict=True):
            most = float(vector.abs().max())
            show(axes, vector, f"{float(value):.2f}", -most, most)
    save("basis", figure)


def picture_prior(ladder: dict[str, Denoiser], side: int, nfe: int, save: Save) -> None:
    """Each rung as a denoiser of images of mean 0 and s.d. 1, from noise far above that."""

    def scaled(D: Denoiser) -> Denoiser:
        return lambda y, sigma: (D(MIDDLE + SPREAD * y, SPREAD * sigma) - MIDDLE) / SPREAD

    crops = monge.data.load(f"patches?size={side}&n=100").x
    believed = {"Wiener, of photographs": Wiener.of((crops - MIDDLE) / SPREAD)}
    believed |= {name: scaled(D) for name, D in ladder.items() if name != "Wiener"}
    figure = Figure(figsize=(8, 8.4), layout="constrained")
    every = figure.subplots(len(believed), 4)
    for row, (name, D) in zip(every, believed.items(), strict=True):
        drawn = samplers.reverse_diffusion(D, (1, side, side), 4, nfe, seed=1, sigma_min=0.02, sigma_max=5.0)
        for axes, x in zip(row, MIDDLE + SPREAD * drawn, strict=True):
            show(axes, x, name)
    save("prior", figure)


def main() -> None:
    fast, save = asked("ladder", __doc__)
    side = 24 if fast else 48
    network, patches = learned(fast, 2 * side)
    with torch.no_grad():
        ladder = rungs(network, patches)
        picture_photograph(ladder, LEVELS[:1] if fast else LEVELS, save)
        picture_prior(ladder, side, 3 if fast else 60, save)
    picture_basis(network, side, 1 if fast else 8, save)


if __name__ == "__main__":
    main()
