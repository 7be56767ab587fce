"""`monge denoise` on photographs: what is written, what is told, and what is refused."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from monge.cli.app import run

SIGMA = 25.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A photograph, clean and noisy, in the forms that files take."""
    home = tmp_path_factory.mktemp("photographs")
    clean = load_sample_image("flower.jpg")[100:228, 200:360]
    noise = np.random.default_rng(0).normal(size=clean.shape)
    noisy = (clean + SIGMA * noise).clip(0, 255).round().astype(np.uint8)
    gray = clean[..., 1].astype(float)
    (home / "clean").mkdir()
    for where, x in (("clean", clean), (".", noisy)):
        Image.fromarray(x).save(home / where / "colour.png")
    for where, level in (("clean", 0.0), (".", SIGMA)):
        deep = (257 * (gray + level * noise[..., 1])).clip(0, 65535).round().astype(np.uint16)
        Image.fromarray(deep).save(home / where / "deep.png")
        np.save(home / where / "array.npy", (gray + level * noise[..., 1]).astype(np.float32))
        Image.fromarray(((gray + level * noise[..., 1]) / 255).astype(np.float32)).save(home / where / "real.tiff")
    Image.fromarray(noisy).save(home / "lossy.jpg", quality=95)
    alpha = np.arange(noisy.shape[1], dtype=np.uint8)[None].repeat(len(noisy), 0)
    Image.fromarray(np.dstack([noisy, alpha])).save(home / "clear.png")
    Image.fromarray(noisy).convert("P").save(home / "palette.png")
    Image.fromarray(noisy).convert("CMYK").save(home / "cmyk.jpg")
    (home / "words.png").write_text("not a picture")
    bad = gray.astype(np.float32)
    bad[3, 4] = np.nan
    np.save(home / "nan.npy", bad)
    Image.fromarray(bad).save(home / "nan.tiff")
    return home


@pytest.fixture
def denoise(capsys):
    def call(*arguments):
        status = run(["denoise", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.mark.parametrize("name", ["colour.png", "deep.png", "array.npy", "real.tiff"])
def test_a_photograph_comes_back_better_in_its_own_form(denoise, folder, tmp_path, name):
    """At least 6 dB better at sigma 25, by an estimated level that is right to a tenth; the rest is in the residual."""
    status, out, err = denoise("wavelet", folder / name, "--reference", folder / "clean", "-o", tmp_path)
    assert (status, err) == (0, "")
    before, after = (float(word) for word in out.split("PSNR ")[1].split(" dB")[0].split(" to "))
    assert after > before + 5
    level = float(out.split("sigma ")[1].split()[0])
    assert level == pytest.approx(SIGMA * {"deep.png": 257, "real.tiff": 1 / 255}.get(name, 1), rel=0.12)
    stem, ending = name.split(".")
    found, residual = tmp_path / name, tmp_path / f"{stem}-residual.{ending}"

    def read(path):
        return np.load(path, allow_pickle=False) if ending == "npy" else np.asarray(Image.open(path))

    noisy = read(folder / name)
    assert read(found).shape == noisy.shape
    assert read(found).dtype == noisy.dtype
    middle = {"colour.png": 128, "deep.png": 32768}.get(name, 0)
    left = read(residual).astype(float) - middle
    assert left.std() == pytest.approx(level, rel=0.15)
    assert np.abs(left - (noisy.astype(float) - read(found))).mean() < 0.05 * level


def test_colours_are_better_together(denoise, folder, tmp_path):
    found = []
    for k, options in enumerate(([], ["--by-channel"])):
        _, out, _ = denoise(
            "wavelet", folder / "colour.png", "--sigma", SIGMA, "--reference", folder / "clean" / "colour.png",
            "-o", tmp_path / f"{k}.png", *options,
        )  # fmt: skip
        found.append(float(out.split(" dB")[0].rpartition(" ")[2]))
    assert found[0] > found[1] + 0.5


def test_alpha_is_kept_and_jpeg_is_not_compressed_again(denoise, folder, tmp_path):
    assert (
        denoise("wavelet", folder / "clear.png", folder / "lossy.jpg", folder / "palette.png", "-o", tmp_path)[0] == 0
    )
    written = {path.name for path in tmp_path.iterdir()}
    assert {"clear.png", "lossy.png", "palette.png", "lossy-residual.png"} < written
    before, after = (np.asarray(Image.open(where / "clear.png")) for where in (folder, tmp_path))
    assert after.shape == before.shape
    assert (after[..., 3] == before[..., 3]).all()
    assert denoise("wiener", folder / "lossy.jpg", "-o", tmp_path / "one.png")[0] == 0
    assert np.asarray(Image.open(tmp_path / "one.png")).shape == (128, 160, 3)
    with pytest.warns(UserWarning, match="CMYK colours are read in sRGB"):
        assert denoise("wiener", folder / "cmyk.jpg", "-o", tmp_path / "print.png")[0] == 0
    assert Image.open(tmp_path / "print.png").mode == "RGB"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["words.png"], "is not a readable picture"),
        (["nan.npy"], "must hold finite numbers only"),
        (["nan.tiff"], "pixels that are NaN"),
        (["nothing.png"], "no such picture"),
        (["colour.png", "--sigma", "-1"], "greater than or equal to 0"),
        (["colour.png", "--sigma", "nan"], "Input should be greater"),
        (["colour.png", "--sigma", "inf"], "must be 0 or more, and finite"),
        (["colour.png", "--reference", "clean/deep.png"], "give the clean picture of it"),
        (["colour.png", "--reference", "clean/nothing.png"], "no such picture"),
        (["colour.png", "colour.png"], "two of the pictures have the same name"),
    ],
)
def test_what_cannot_be_denoised_is_refused_in_one_line(denoise, folder, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(folder)
    status, _, err = denoise("wavelet", *arguments, "-o", tmp_path)
    assert status == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_what_stands_there_is_kept_and_small_events_need_a_level(denoise, folder, tmp_path):
    (tmp_path / "colour-residual.png").write_text("mine")
    status, _, err = denoise("wavelet", folder / "colour.png", "-o", tmp_path)
    assert (status, "exists already" in err) == (2, True)
    assert (tmp_path / "colour-residual.png").read_text() == "mine"
    assert denoise("wavelet", folder / "colour.png", "-o", tmp_path, "--force")[0] == 0
    np.save(tmp_path / "tiny.npy", np.eye(3, dtype=np.float32))
    status, _, err = denoise("wavelet", tmp_path / "tiny.npy", "-o", tmp_path / "out.npy")
    assert (status, "give --sigma" in err) == (2, True)
    assert denoise("wavelet", tmp_path / "tiny.npy", "-o", tmp_path / "out.npy", "--sigma", 0.1)[0] == 0


def test_a_run_that_does_not_denoise_is_refused(denoise, folder, tmp_path):
    assert run(["fit", "moons?n=600", "--model", "real-nvp", "--steps", "1", "--out", str(tmp_path / "run")]) == 0
    status, _, err = denoise(tmp_path / "run", folder / "colour.png", "-o", tmp_path / "x.png", "--sigma", 1)
    assert status == 2
    assert "does not denoise: use a diffusion" in err


def test_gray_stored_as_colours_is_denoised_as_gray(denoise, folder, tmp_path):
    noisy = Image.open(folder / "colour.png").getchannel(1)
    noisy.save(tmp_path / "gray.png")
    noisy.convert("RGB").save(tmp_path / "rgb.png")
    for name in ("gray.png", "rgb.png"):
        assert denoise("wavelet", tmp_path / name, "-o", tmp_path / f"out-{name}")[0] == 0
    out = Image.open(tmp_path / "out-rgb.png")
    assert out.mode == "RGB"
    assert np.array_equal(np.asarray(out)[..., 1], np.asarray(Image.open(tmp_path / "out-gray.png")))


def test_channels_last_are_told_and_come_back_last(denoise, folder, tmp_path):
    x = np.asarray(Image.open(folder / "colour.png"), np.float32)
    np.save(tmp_path / "last.npy", x)
    np.save(tmp_path / "first.npy", np.moveaxis(x, -1, 0))
    with pytest.warns(UserWarning, match="last.npy is read as 128x160 pixels of 3 channels"):
        assert denoise("wavelet", tmp_path / "last.npy", "--sigma", 25, "-o", tmp_path / "a.npy")[0] == 0
    assert denoise("wavelet", tmp_path / "first.npy", "--sigma", 25, "-o", tmp_path / "b.npy")[0] == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.moveaxis(np.load(tmp_path / "b.npy"), 0, -1))


def test_several_pages_are_refused(denoise, folder, tmp_path):
    pages = [Image.fromarray(np.full((20, 20), 9 * i, np.uint8)) for i in range(3)]
    for name in ("s.tif", "s.gif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        status, _, err = denoise("wavelet", tmp_path / name, "-o", tmp_path / "o.png")
        assert (status, "holds 3 pictures, pages or frames" in err) == (2, True)
