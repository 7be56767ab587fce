"""`monge audit RUN --given`: whether the truth can be told from what a run draws given an observation."""

import json

import numpy as np
import pytest

from monge import cli, rng


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 30 steps on smooth gray images of 4 x 4, a third of them held out."""
    folder = tmp_path_factory.mktemp("calibrating")
    x = rng.normal((300, 1, 4, 4), 0, "x") + 2 * rng.normal((300, 1, 1, 1), 0, "level")
    np.save(folder / "data.npy", x.numpy())
    out = folder / "run"
    sets = ["--set", "net=Size(widths=(8,), blocks=1)", "--holdout", "0.33"]
    assert cli.run(["fit", str(folder / "data.npy"), "--out", str(out), "--steps", "30", *sets]) == 0
    return out


def audit(run, *options):
    return cli.run(["audit", str(run), *options])


def test_draws_given_an_observation_are_judged_and_shown(run, capsys):
    data = str(run.parent / "data.npy")
    code = audit(run, "--given", "mask=0.5", "--noise", "0.123456789", "--data", data, "--nfe", "3", "-n", "60")
    verdict = json.loads((run / "posterior.json").read_text())
    assert code == {"pass": 0, "fail": 1, "undecided": 3}[verdict["status"]]
    assert [line["name"] for line in verdict["posterior"]] == ["ranks", "coverage", "two samples"]
    assert verdict["context"]["n_holdout"] == 60
    page = (run / "posterior.html").read_text()
    assert "Truths among their posterior draws" in page
    assert "mask=0.5, noise 0.123457: 8 values of 16" in page
    assert f"monge audit {run} --given mask=0.5 --noise 0.123456789 -n 60 --nfe 3 --data {data} --seed 0" in page
    assert "60 held out" in capsys.readouterr().out
    assert not (run / "verdict.json").exists()


@pytest.mark.parametrize("given", ["crop-out=0,0,2,2", "downscale=2", "blur=1"])
def test_pictures_are_observed_in_all_ways(run, given, tmp_path):
    page = tmp_path / "page.html"
    options = ["--noise", "0.5", "--nfe", "2", "-n", "50", "--method", "diffpir", "--html", str(page)]
    assert audit(run, "--given", given, *options) in (0, 1, 3)
    assert page.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--given", "magic=1"], "--given is mask=SHARE"),
        (["--given", "mask=many"], "--given is mask=SHARE"),
        (["--given", "mask=1.5"], "mask=SHARE hides a share"),
        (["--given", "downscale=2.5"], "--given is mask=SHARE"),
        (["--given", "downscale=3"], "blocks of 3 sites"),
        (["--given", "crop-out=0,0,9,9"], "not inside the picture"),
        (["--given", "crop-out=0,0"], "crop-out is a box"),
        (["--given", "mask=0.5", "-n", "20"], "needs 50 pairs"),
        (["--given", "mask=0.5", "--margin", "mass=0.1"], "leave them out"),
        (["--method", "dps"], "say --given, too"),
        (["--noise", "0.5"], "say --given, too"),
    ],
)
def test_bad_input_is_refused(run, options, words, capsys):
    assert audit(run, *options) == 2
    assert words in capsys.readouterr().err
