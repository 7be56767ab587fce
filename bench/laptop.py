"""The main job on a user's own data on two cores: pictures, fields and tables in minutes.

    python bench/laptop.py --data FOLDER --only mnist      # or ddpm, hands, clothing, rain, mixture, protein
    python bench/laptop.py --data FOLDER --only hands,ddpm # up to 12 minutes each; the folder holds mnist.npz and so on
    python bench/laptop.py --fast                          # a mixture in the plane for seconds: what the tests run

MNIST: how sure a classifier that was trained on real digits is of samples, how they spread over the classes, and their
coverage against what real digits reach; ddpm: the same of the class-conditioned UNet2DModel of the Hugging Face course,
with its own DDPM loss and 20 DDIM calls, for the same time. Hands and clothing: steps a second and held-out denoising
error beside the network for small events, in equal time. Rain: share of zeros, mean, mean square, power by band. The
mixture: the learned denoiser's error over that of the posterior mean, at four levels. Protein: the verdict, also with
one core taken by another program.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import monge
from monge.data import Samples
from monge.densities import GaussianMixture
from monge.evaluation import coverage, precision
from monge.nets import Size
from monge.objects import words
from monge.report import read_log

LEVELS = (0.1, 0.3, 1.0, 3.0)  # of noise, in standard deviations


def fitted(train: Samples, seconds: float, seed: int) -> tuple[monge.Diffusion, str]:
    """A diffusion, and how it was fitted."""
    model = monge.Diffusion()
    begun = time.perf_counter()
    model.fit(train, budget=seconds, seed=seed, show=False)
    network = model.record.get("network")
    size = "the usual network" if network is None else words(network["size"])
    return model, f"{time.perf_counter() - begun:.0f} s, {size}"


def classifier(x: Tensor, y: Tensor) -> nn.Module:
    """A small convolutional network, two epochs on real digits."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * 49, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for rows in torch.cat([torch.randperm(len(x)) for _ in range(3)]).split(128):
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def mnist(folder: Path, seconds: float, seed: int) -> str:
    parts = digits(folder)
    train = Samples(*parts[:2], kind="images", quantum=1.0, limits=(0.0, 255.0), name="mnist")
    model, how = fitted(train, seconds, seed)
    return judged(*parts, lambda n: model.sample(n, seed=seed, show=False), how)


def ddpm(folder: Path, seconds: float, seed: int) -> str:
    """The UNet2DModel of the Hugging Face course on MNIST (unit 2), told the class, for as long."""
    from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel

    parts = digits(folder)
    torch.manual_seed(seed)
    net = UNet2DModel(
        sample_size=28, in_channels=1, out_channels=1, layers_per_block=2, block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"), num_class_embeds=10,
    )  # fmt: skip
    noise = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
    optimizer, x, y = torch.optim.AdamW(net.parameters(), 1e-3), parts[0] / 127.5 - 1, parts[1]
    begun, steps = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        rows = torch.randint(len(x), (64,))
        z, t = torch.randn(64, 1, 28, 28), torch.randint(1000, (64,))
        loss = (net(noise.add_noise(x[rows], z, t), t, class_labels=y[rows]).sample - z).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1

    def draw(n: int) -> Tensor:
        ddim = DDIMScheduler.from_config(noise.config)
        drawn, told = torch.randn(n, 1, 28, 28), y[torch.randint(len(y), (n,))]
        ddim.set_timesteps(20)
        for t in ddim.timesteps:
            said = in_pieces(lambda a, b, t=t: net(a, t, class_labels=b).sample, drawn, told)
            drawn = ddim.step(said, t, drawn).prev_sample
        return ((drawn + 1) * 127.5).clamp(0, 255).round()

    return judged(*parts, draw, f"{steps} steps in {seconds:.0f} s")


@torch.no_grad()
def in_pieces(f: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([f(a, b) for a, b in zip(x.split(100), y.split(100), strict=True)])


def digits(folder: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    with np.load(folder / "mnist.npz", allow_pickle=False) as file:
        parts = {name: torch.from_numpy(file[name].astype(np.int64)) for name in file}
    return parts["x_train"][:, None].float(), parts["y_train"], parts["x_test"][:, None].float(), parts["y_test"]


def judged(x: Tensor, y: Tensor, test: Tensor, named: Tensor, draw: Callable[[int], Tensor], how: str) -> str:
    judge = classifier(x / 255, y)
    begun = time.perf_counter()
    x = draw(1000)
    drawn = time.perf_counter() - begun
    with torch.no_grad():
        accuracy = float((judge(test / 255).argmax(1) == named).float().mean())
        sure = judge(x / 255).softmax(1)
    shares = torch.bincount(sure.argmax(1), minlength=10) / len(x)
    flat = [rows.flatten(1) / 255 for rows in (x, test[:1000], test[1000:2000])]
    return (
        f"{how}; 1,000 samples in {drawn:.0f} s; a classifier (right on {accuracy:.1%} of real) is .9 sure of "
        f"{float((sure.amax(1) > 0.9).float().mean()):.1%}; classes {float(shares.min()):.1%} to "
        f"{float(shares.max()):.1%}; coverage {coverage(flat[0], flat[1]):.3f} "
        f"(real {coverage(flat[2], flat[1]):.3f}), precision {precision(flat[0], flat[1]):.3f}"
    )


def pictures(name: str) -> Callable[[Path, float, int], str]:
    """The network that is chosen beside that for small events."""

    def task(folder: Path, seconds: float, seed: int) -> str:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
            x, y = torch.from_numpy(file["x"].astype(np.float32)), torch.from_numpy(file["y"].astype(np.int64))
        x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()
        data = Samples(x, y, kind="images", quantum=1.0, limits=(0.0, 255.0), name=name)
        train, holdout = data.split(0.2, seed=0)
        told = []
        for model in (monge.Diffusion(), monge.Diffusion(net=Size())):
            with tempfile.TemporaryDirectory() as run:
                model.fit(train, budget=seconds, seed=seed, out=run, show=False)
                steps = int(read_log(Path(run) / "log.csv")[-1]["step"])
            clean, label = model.scaled(holdout.x.float(), 1), model.labels.encode(holdout.y, len(holdout))
            errors = []
            for level in LEVELS:
                y = clean + level * torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
                guess = in_pieces(lambda a, b, s=level, D=model.denoiser: D(a, s, b), y, label)
                errors.append(float((guess - clean).square().mean()))
            told.append(f"{steps / seconds:.1f} steps/s, errors {' '.join(f'{e:.4f}' for e in errors)}")
        return f"{seconds:.0f} s each; chosen {told[0]}; for small events {told[1]} (of variance, at {LEVELS})"

    return task


def rain(folder: Path, seconds: float, seed: int) -> str:
    with np.load(folder / "rain64.npz", allow_pickle=False) as file:
        levels = torch.from_numpy(file["x"].astype(np.float32))[:, None]
    x = torch.where(levels > 0, 0.1 * 10 ** ((levels - 1) / 80), 0.0)
    model, how = fitted(Samples(x, kind="fields", name="rain"), seconds, seed)
    begun = time.perf_counter()
    model.sample(64, seed=seed, show=False)
    took = time.perf_counter() - begun
    names, real = of_fields(x)
    _, drawn = of_fields(model.sample(512, seed=seed, show=False))
    errors = [part.std(0) / len(part) ** 0.5 / real.mean(0) for part in (drawn, real)]
    told = "; ".join(
        f"{name} {ratio:.2f} ({a:.2f}, real {b:.2f})"
        for name, ratio, a, b in zip(
            names, (drawn.mean(0) / real.mean(0)).tolist(), *(e.tolist() for e in errors), strict=True
        )
    )
    return f"{how}; 64 samples in {took:.0f} s; means of 512 samples over real ones (standard errors): {told}"


def of_fields(x: Tensor) -> tuple[list[str], Tensor]:
    """Names, and for each field share of zeros, mean, mean square and power by octave."""
    power = torch.fft.fft2(x[:, 0]).abs().square()
    k = torch.stack(torch.meshgrid(*2 * [torch.fft.fftfreq(64, 1 / 64)], indexing="ij")).square().sum(0).sqrt()
    octaves = (1, 2, 4, 8, 16)
    bands = [power[:, (k >= low) & (k < 2 * low)].mean(1) for low in octaves]
    flat = x.flatten(1)
    values = [(flat == 0).float().mean(1), flat.mean(1), flat.square().mean(1), *bands]
    return ["zeros", "mean", "mean square", *(f"power from k={low}" for low in octaves)], torch.stack(values, 1)


def mixture(folder: Path, seconds: float, seed: int) -> str:
    g = torch.Generator().manual_seed(100 + seed)
    means = 2 * torch.randn(3, 2, generator=g, dtype=torch.float64)
    law = GaussianMixture(means, torch.full((3,), 0.16, dtype=torch.float64))
    x = law.sample(20_000, seed=seed)
    model, how = fitted(Samples(x.float(), name="mixture"), seconds, seed)
    new = law.sample(20_000, seed=seed + 1)
    unit, found = model.units.unit, []
    for level in LEVELS:
        sigma = level * (unit if model.units.is_common else 1.0)
        y = new + sigma * torch.randn(new.shape, generator=g, dtype=torch.float64)
        best = (law.denoise(y, sigma) - new).square().mean()
        found.append(float((model.denoise(y.float(), sigma).double() - new).square().mean() / best) - 1)
    return f"{how}; denoising error above the posterior mean's at {LEVELS}: " + " ".join(f"{e:.1%}" for e in found)


def protein(folder: Path, seconds: float, seed: int) -> str:
    """Twice: alone, and with one core taken."""
    told = []
    for busy in (False, True):
        other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
        try:
            told.append(table(folder, seconds, seed))
        finally:
            if other is not None:
                other.kill()
    return f"alone {told[0]}; beside a busy program {told[1]}"


def table(folder: Path, seconds: float, seed: int) -> str:
    with np.load(folder / "protein.npz", allow_pickle=False) as file:
        data = Samples(torch.from_numpy(file["x"][:, :9]).float(), name="protein")
    train, holdout = data.split(0.2, seed=0)
    model, how = fitted(train, seconds, seed)
    verdict = monge.audit(model.sample(5000, seed=seed, show=False), holdout, train, seed=seed)
    return f"{how}; {verdict.status}: " + "; ".join(d.words for d in verdict.defects if d.status == "fail")


TASKS: dict[str, tuple[Callable[[Path, float, int], str], float]] = {
    "mnist": (mnist, 300), "ddpm": (ddpm, 300), "hands": (pictures("hands32"), 300),
    "clothing": (pictures("clothing32"), 300), "rain": (rain, 300), "mixture": (mixture, 45), "protein": (protein, 120)
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--only", help="of " + ", ".join(TASKS) + ", with commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="of each training, unless those of the task")
    given = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    names = ["mixture"] if given.fast else given.only.split(",") if given.only else list(TASKS)
    for name in names:
        task, seconds = TASKS[name]
        print(f"{name}: {task(given.data, 2.0 if given.fast else given.seconds or seconds, given.seed)}", flush=True)


if __name__ == "__main__":
    main()
