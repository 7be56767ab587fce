"""Denoisers that learn crops of photographs, and are used on pictures of any size."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

import monge
from monge import rng
from monge.cli.app import run
from monge.errors import BadInput
from monge.evaluation import psnr
from monge.nets import BiasFreeUNet, Size

SMALL = Size(widths=(8, 16), blocks=1)
SIGMA = 25.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six pictures of several sizes, in gray, and one that is not among them, in colour."""
    home = tmp_path_factory.mktemp("photographs")
    (home / "train").mkdir()
    photo = load_sample_image("china.jpg")
    for k in range(6):
        part = photo[40 * k : 40 * k + 120 + 5 * k, 90 * k : 90 * k + 150]
        Image.fromarray(part).convert("L").save(home / "train" / f"{k}.png")
    Image.fromarray(load_sample_image("flower.jpg")[100:200, 200:330]).save(home / "colour.png")
    return home


@pytest.fixture(scope="module")
def blind(folder):
    data = monge.data.load(str(folder / "train"), crop=24)
    return monge.Diffusion(blind=True, net=SMALL).fit(data, steps=150, lr=3e-3, batch_size=16, show=False)


@pytest.fixture(scope="module")
def photo(folder):
    return torch.from_numpy(np.asarray(Image.open(folder / "colour.png").convert("L")).copy()).float()[None, None]


def test_a_network_of_crops_denoises_pictures_of_any_size(blind, photo):
    assert isinstance(blind.denoiser.net, BiasFreeUNet)
    y = photo + SIGMA * rng.normal(tuple(photo.shape), 0, "noise")
    x_hat = blind.denoise(y, SIGMA)
    assert x_hat.shape == photo.shape
    assert float(psnr(x_hat, photo, 255.0)) > float(psnr(y, photo, 255.0)) + 4
    assert torch.equal(blind.denoise(y, 1.0), x_hat)  # no level is looked at
    assert torch.equal(blind.denoise(y, 0.0), y)
    assert blind.denoise(y[0], SIGMA).shape == y.shape  # of one channel, whose axis may be left out
    for space in ((5, 7), (1, 1), (24, 24)):
        assert blind.denoise(photo[..., : space[0], : space[1]], SIGMA).isfinite().all()
    with pytest.raises(BadInput, match="events of shape"):
        blind.denoise(torch.zeros(1, 3, 40, 40), SIGMA)


def test_it_is_homogeneous_about_the_mean_of_the_data(blind, photo):
    mean = blind.units.inverse(torch.zeros(1, 1, 1, 1), noisy=True)
    y = photo - mean
    twice = blind.denoise(mean + 2 * y, SIGMA) - mean
    assert torch.allclose(twice, 2 * (blind.denoise(mean + y, SIGMA) - mean), atol=1e-2)


def test_it_draws_crops_and_comes_back_from_its_folder(blind, photo, tmp_path):
    x = blind.sample(3, nfe=4, show=False)
    assert x.shape == (3, 1, 24, 24)
    blind.save(tmp_path / "run")
    again = monge.load(tmp_path / "run")
    assert torch.equal(again.denoise(photo, SIGMA), blind.denoise(photo, SIGMA))


def test_a_network_of_one_size_works_by_tiles(photo):
    data = monge.data.load("patches?n=200&size=12")
    model = monge.Diffusion(net=SMALL).fit(data, steps=60, batch_size=16, show=False)
    y = photo + SIGMA * rng.normal(tuple(photo.shape), 0, "noise")
    x_hat = model.denoise(y, SIGMA)
    assert float(psnr(x_hat, photo, 255.0)) > float(psnr(y, photo, 255.0)) + 4
    assert model.denoise(photo[..., :7, :30], SIGMA).shape == (1, 1, 7, 30)
    assert model.denoise(y, SIGMA, label=1).shape == y.shape
    both = model.denoise(torch.cat([y, y]), SIGMA, label=[0, 1])  # each event its own
    one, other = (model.denoise(y, SIGMA, label=label) for label in (0, 1))
    torch.testing.assert_close(both, torch.cat([one, other]), rtol=1e-4, atol=1e-3)
    assert not torch.allclose(one, other, rtol=1e-4, atol=1e-3)


def test_a_run_of_photographs_from_folder_to_picture(folder, tmp_path, capsys):
    fitted = run(
        ["fit", str(folder / "train"), "--model", "diffusion", "--set", "blind=true", "--set", "net=Size(widths=(8,))",
         "--crop", "16", "--steps", "20", "--batch-size", "8", "--out", str(tmp_path / "run")]
    )  # fmt: skip
    assert fitted == 0
    capsys.readouterr()
    picture = folder / "colour.png"
    assert run(["denoise", str(tmp_path / "run"), str(picture), "--reference", str(picture)]) == 0
    said = capsys.readouterr().out
    assert "(estimated)" in said
    assert "PSNR" in said
    with Image.open(tmp_path / "run" / "denoised" / "colour.png") as found:
        assert (found.size, found.mode) == ((130, 100), "RGB")
