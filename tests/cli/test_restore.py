"""`monge restore`: what was hidden, small or blurred, from file to pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from monge import cli, rng
from monge.cli.pictures import read
from monge.samplers import Posterior


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 5 steps on gray images of 8 x 8."""
    folder = tmp_path_factory.mktemp("restore")
    x = (rng.uniform((60, 1, 8, 8), 0, "x") * 255).round().numpy().astype(np.uint8)
    np.save(folder / "data.npy", x)
    out = folder / "run"
    sets = ["--set", "net=Size(widths=(8,), blocks=1)"]
    assert cli.run(["fit", str(folder / "data.npy"), "--out", str(out), "--steps", "5", *sets]) == 0
    return out


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "face.png"
    Image.fromarray((rng.uniform((8, 8), 1, "y") * 255).numpy().astype(np.uint8)).save(path)
    return path


def restore(*arguments):
    return cli.run(["restore", *map(str, arguments), "--nfe", "4", "-n", "3"])


def test_a_box_is_filled_and_the_rest_is_kept(run, picture, tmp_path, capsys):
    assert restore(run, picture, "--crop-out", "2,2,4,3", "-o", tmp_path / "out", "--method", "wiener") == 0
    told = capsys.readouterr().out
    assert "biased" in told
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"face-{what}.png" for what in ("1", "2", "3", "mean", "deviation", "residual", "sheet")}
    seen = torch.ones(8, 8, dtype=torch.bool)
    seen[2:5, 2:6] = False
    y, first, second = (
        read(path).values for path in (picture, tmp_path / "out/face-1.png", tmp_path / "out/face-2.png")
    )
    assert float((first - y)[:, seen].abs().max()) <= 1
    assert float((first - second)[:, ~seen].abs().max()) > 1
    assert float(read(tmp_path / "out/face-deviation.png").values[:, seen].max()) <= 1
    assert restore(run, picture, "--crop-out", "2,2,4,3", "-o", tmp_path / "out") == 2  # it is there
    assert "--force" in capsys.readouterr().err


def test_particles_tell_their_evidence(run, picture, tmp_path, capsys):
    given = ["--crop-out", "0,0,8,7", "--noise", "20", "-o", tmp_path / "out", "--method", "particles"]
    assert restore(run, picture, *given) == 0
    assert "log evidence" in capsys.readouterr().out


@pytest.mark.parametrize("how", [("--downscale", 2), ("--blur", 1.0)])
def test_pictures_are_sharpened_at_any_size(run, tmp_path, how):
    path = tmp_path / "wide.png"
    Image.fromarray((rng.uniform((6, 10), 1, "y") * 255).numpy().astype(np.uint8)).save(path)
    assert restore(run, path, *how, "--noise", 5, "-o", tmp_path / "out") == 0
    side = (12, 20) if how[0] == "--downscale" else (6, 10)
    assert tuple(read(tmp_path / "out/wide-mean.png").values.shape) == (1, *side)


def test_colours_are_answered_one_by_one_and_masks_are_black_where_nothing_is_seen(run, tmp_path):
    path, mask = tmp_path / "rgb.png", tmp_path / "mask.png"
    Image.fromarray((rng.uniform((8, 8, 3), 1, "y") * 255).numpy().astype(np.uint8)).save(path)
    hidden = np.full((8, 8), 255, dtype=np.uint8)
    hidden[:4] = 0
    Image.fromarray(hidden).save(mask)
    assert restore(run, path, "--mask", mask, "-o", tmp_path / "out", "--method", "diffpir") == 0
    y, x = read(path).values, read(tmp_path / "out/rgb-1.png").values
    assert x.shape == (3, 8, 8)
    assert float((x - y)[:, 4:].abs().max()) <= 1


def test_arrays_stay_arrays_and_old_answers_go(run, tmp_path):
    y = (rng.uniform((8, 8), 1, "y") * 255).round().numpy()
    np.save(tmp_path / "plane.npy", y)
    given = [tmp_path / "plane.npy", "--crop-out", "0,0,4,4", "-o", tmp_path / "out", "--method", "wiener"]
    assert restore(run, *given) == 0
    assert np.load(tmp_path / "out/plane-3.npy").shape == (8, 8)
    arguments = ["restore", run, *given, "--nfe", "4", "-n", "1", "--force"]
    assert cli.run([str(each) for each in arguments]) == 0
    assert not (tmp_path / "out/plane-3.npy").exists()


def test_a_mask_of_one_level_is_told_apart(run, picture, tmp_path, capsys):
    for level, words in ((255, "hides nothing"), (0, "hides all")):
        Image.fromarray(np.full((8, 8), level, dtype=np.uint8)).save(tmp_path / "mask.png")
        assert restore(run, picture, "--mask", tmp_path / "mask.png", "-o", tmp_path / "out") == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "say what happened to the picture"),
        (("--blur", 1.0, "--downscale", 2), "not --downscale and --blur"),
        (("--crop-out", "1,2,3"), "is a box X,Y,W,H"),
        (("--crop-out", "5,5,9,9"), "is not inside the picture"),
        (("--crop-out", "0,0,8,8"), "nothing is seen"),
        (("--blur", 0.0), "above 0"),
        (("--mask", "none.png"), "no such picture"),
        (("--blur", 1.0, "--label", "3"), "trained without labels"),
        (("--blur", 1.0, "--method", "magic"), "method"),
        (("--blur", 1.0, "--method", ""), "method"),
        (("--blur", 1.0, "--noise", 1e30), "times the highest level"),
    ],
)
def test_bad_input_is_told_in_a_line(run, picture, capsys, given, words):
    assert restore(run, picture, *given, "-o", picture.parent / "out") == 2
    err = capsys.readouterr().err
    assert err.startswith("monge: error: ")
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("option", "noise"), [({"blur": 1.0}, 12**-0.5), ({"downscale": 2}, 12**-0.5), ({"crop_out": "0,0,2,2"}, 0.0)]
)
def test_levels_that_were_rounded_after_a_blur_are_not_exact(picture, option, noise):
    from monge.cli.answers import Answers

    class Asked:
        def posterior(self, n, seen, **options):
            self.noise = float(seen.noise.max())
            return Posterior(torch.zeros(n, 1, 8, 8), torch.full((n,), 1 / n), "", "", 0)

    kinds = {"mask": None, "crop_out": None, "downscale": None, "blur": None}
    about = {"event_shape": [1, 8, 8], "limits": [0.0, 255.0]}
    answers, asked = Answers.of(picture, about, **{**kinds, **option}), Asked()
    answers.drawn(asked, 2, 0.0, {})
    assert asked.noise == pytest.approx(noise, rel=1e-4)
    answers.drawn(asked, 2, 3.0, {})
    assert asked.noise == pytest.approx(3.0, rel=1e-4)
