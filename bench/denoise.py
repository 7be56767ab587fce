"""Denoisers of photographs beside scikit-image's and BM3D, and the slope that theory gives to images that are C^alpha.

    make bench-denoise                              # twelve minutes, most of which train networks
    python bench/denoise.py --photographs FILE.npz  # more photographs to learn from, all that monge.data.load takes
    python bench/denoise.py --only slopes,fields    # a part
    python bench/denoise.py --fast                  # seconds: what the tests run

photographs: mean PSNR over the middle 256 x 256 of scikit-learn's two photographs and four of scikit-image's, in gray,
and seconds for one. The network is blind and without constants, trained on crops of other photographs: those of
scikit-image that are not tested on, and those given. The last level is twice the largest that it saw. fields: Wiener's
filter of Gaussian fields against the exact posterior mean and the least error. slopes: of PSNR against input PSNR, by a
network for each alpha.
"""

import argparse
import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import monge
from monge import rng
from monge.data import Samples, c_alpha, gaussian_field, power_law_spectrum
from monge.denoisers import PatchMixture, WaveletShrinkage, Wiener
from monge.evaluation import minimax_slope, psnr

LEVELS = (15.0, 25.0, 50.0)
SPAN = 255.0
GRAY = np.array([0.299, 0.587, 0.114])
TESTED = ("camera", "astronaut", "chelsea", "coffee")
OTHERS = ("brick", "grass", "gravel", "rocket", "coins", "moon", "hubble_deep_field", "retina", "immunohistochemistry")
SECONDS, SLOPE_SECONDS = 400.0, 30.0
CROP = 96
BATCH, SLOPE_BATCH = 4, 5
Photograph = NDArray[np.float64]


def gray(picture: NDArray[np.uint8]) -> Photograph:
    """Of [H, W], or [H, W, 1 or 3]."""
    if picture.ndim == 3:
        picture = picture @ GRAY if picture.shape[2] == 3 else picture[..., 0]
    return np.rint(picture.astype(float))


def tested(side: int) -> Tensor:
    """[6, 1, side, side], 0 to 255."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    pictures = [*load_sample_images().images, *(getattr(data, name)() for name in TESTED)]
    middles = []
    for picture in map(gray, pictures):
        top, left = ((length - side) // 2 for length in picture.shape)
        middles.append(picture[top : top + side, left : left + side])
    return torch.from_numpy(np.stack(middles)).float()[:, None]


def others(source: str | None, fast: bool) -> Samples:
    from skimage import data

    found = [getattr(data, name)() for name in (OTHERS[:2] if fast else OTHERS)]
    if not fast:
        found.extend(data.stereo_motorcycle()[:2])
    pictures = [gray(picture).astype(np.uint8) for picture in found]
    if source is not None:
        pictures.extend(gray(np.moveaxis(x, 0, -1)).astype(np.uint8) for x in monge.data.load(source).x.numpy())
    return monge.data.load(pictures, crop=CROP // 2 if fast else CROP, name="photographs")


def peers(fast: bool) -> Iterator[tuple[str, Callable[[Photograph, float], Photograph]]]:
    """Each (y, sigma) -> x_hat of one photograph in 0 to 255."""
    from skimage import restoration

    def wavelets(y: Photograph, sigma: float, rule: str) -> Photograph:
        options = {"func_kw": {"sigma": sigma, "method": rule, "rescale_sigma": True, "wavelet": "sym4"}}
        found = restoration.cycle_spin(y, func=restoration.denoise_wavelet, max_shifts=3, workers=1, **options)
        return np.asarray(found)

    def means(y: Photograph, sigma: float) -> Photograph:
        options = {"patch_size": 5, "patch_distance": 6, "fast_mode": True}
        return np.asarray(restoration.denoise_nl_means(y, h=0.6 * sigma, sigma=sigma, **options))

    yield "scikit-image wavelets (BayesShrink, cycle spin)", lambda y, sigma: wavelets(y, sigma, "BayesShrink")
    yield "scikit-image wavelets (VisuShrink, cycle spin)", lambda y, sigma: wavelets(y, sigma / 3, "VisuShrink")
    yield "scikit-image NL-means", means
    if not fast:
        import bm3d

        yield "bm3d", lambda y, sigma: np.asarray(bm3d.bm3d(y, sigma))


def rungs(network: monge.Diffusion, mixture: PatchMixture) -> Iterator[tuple[str, Callable[[Tensor, float], Tensor]]]:
    """Each (y [1, 1, H, W], sigma) -> x_hat."""
    yield "monge Wiener, of the noisy photograph", Wiener()
    yield "monge wavelets", WaveletShrinkage()
    yield "monge patches, of the noisy photograph", PatchMixture()
    yield "monge patches, of other photographs", mixture
    yield "monge network, blind", lambda y, sigma: network.denoise(y, 1.0)
    yield "monge network, mean over 8 symmetries", lambda y, sigma: network.denoise(y, 1.0, symmetric=True)


def trained(data: Samples, seconds: float, batch: int, **settings: float) -> monge.Diffusion:
    model = monge.Diffusion(blind=True, **settings)
    precision = "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(data, budget=seconds, precision=precision, batch_size=batch, show=False)


def photographs(source: str | None, fast: bool) -> None:
    x = tested(64 if fast else 256)[: 1 if fast else None]
    data = others(source, fast)
    network = trained(data, 1.0 if fast else SECONDS, BATCH, sigma_max=1.0)
    known = data.batch(torch.randperm(len(data), generator=rng.generator(0, "known"))[: 9 if fast else 500])
    mixture = PatchMixture.of(known, components=5 if fast else 50)
    levels = (*LEVELS, 2 * network.units.unit)
    print("| denoiser | " + " | ".join(f"sigma {level:.3g}" for level in levels) + " | seconds |")
    print("|---" * (len(levels) + 2) + "|", flush=True)
    noise = rng.normal(tuple(x.shape), 0, "noise")

    def row(name: str, found: Callable[[Tensor, float], Tensor]) -> None:
        told, begun = [], time.perf_counter()
        for level in levels:
            y = x + level * noise
            x_hat = torch.cat([found(one, level) for one in torch.split(y, 1)])
            told.append(f"{float(psnr(x_hat, x, SPAN).mean()):.2f}")
        spent = (time.perf_counter() - begun) / (len(levels) * len(x))
        print(f"| {name} | {' | '.join(told)} | {spent:.2f} |", flush=True)

    row("none", lambda y, sigma: y)
    for name, peer in peers(fast):
        row(
            name,
            lambda y, sigma, peer=peer: torch.from_numpy(peer(y[0, 0].double().numpy(), sigma)).float()[None, None],
        )
    for name, rung in rungs(network, mixture):
        row(name, rung)


def fields(fast: bool) -> None:
    """On a torus in float64: against a solve with the dense covariance, and the mean error against its closed form."""
    shape = (16, 16)
    spectrum = power_law_spectrum(shape, 2.0).double()[None]
    x = gaussian_field(200 if fast else 4000, 0, shape=shape, slope=2.0).x.double()
    sigma = 0.7
    y = x + sigma * rng.normal(tuple(x.shape), 0, "fields", dtype=torch.float64)
    D = Wiener.stationary(spectrum)
    impulse = torch.zeros(1, *shape, dtype=torch.float64)
    impulse[0, 0, 0] = 1
    first = torch.fft.ifftn(spectrum * torch.fft.fftn(impulse, dim=(1, 2)), dim=(1, 2)).real[0]
    rows = [first.roll((i, j), (0, 1)).flatten() for i in range(shape[0]) for j in range(shape[1])]
    C = torch.stack(rows)
    exact = torch.linalg.solve(C + sigma**2 * torch.eye(len(C), dtype=C.dtype), C @ y.flatten(1).T).T
    away = float((D(y, sigma).flatten(1) - exact).abs().max())
    errors = (D(y, sigma) - x).square().flatten(1).mean(1)
    least = float(D.error(torch.tensor([sigma], dtype=torch.float64)))
    print(
        f"| Wiener on fields of 16 x 16 | {away:.1e} from the posterior mean | mean square error "
        f"{float(errors.mean()):.4f} ± {float(errors.std()) / math.sqrt(len(errors)):.4f}, least {least:.4f} |",
        flush=True,
    )


def slopes(fast: bool) -> None:
    print("| alpha | slope | best | off by |\n|---|---|---|---|", flush=True)
    for alpha in (2.0,) if fast else (1.0, 2.0, 4.0):
        data = c_alpha(100 if fast else 20_000, 1, size=40, alpha=alpha)
        levels = {"level_mean": -1.65, "level_std": 0.7}  # of log sigma in s.d. of the data: .02 to .16 of their values
        model = trained(data, 2.0 if fast else SLOPE_SECONDS, SLOPE_BATCH, **levels)
        found = minimax_slope(lambda y, sigma, model=model: model.denoise(y, sigma), alpha)
        off = found.value / found.best - 1
        print(f"| {alpha:g} | {found.value:.3f} ± {found.error:.3f} | {found.best:.3f} | {off:+.1%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="fields,photographs,slopes")
    parser.add_argument("--photographs", help="what the network learns")
    parser.add_argument("--fast", action="store_true")
    given = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, monge {monge.__version__}")
    jobs = {
        "fields": lambda: fields(given.fast),
        "photographs": lambda: photographs(given.photographs, given.fast),
        "slopes": lambda: slopes(given.fast),
    }
    for name in given.only.split(","):
        jobs[name]()


if __name__ == "__main__":
    main()
