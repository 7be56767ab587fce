"""`monge generalise`: an experiment in a folder of its own, gone on with where it stopped."""

import json

import numpy as np
import pytest

from monge import cli, rng


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("generalising") / "data.npy"
    np.save(path, rng.normal((120, 2), 0, "x").numpy())
    return path


def generalise(source, out, *options):
    given = ["--sizes", "5,40", "--steps", "3", "-n", "20", "--model", "real-nvp"]
    return cli.run(["generalise", str(source), "--out", str(out), *given, *options])


def test_an_experiment_is_told_drawn_and_kept(source, tmp_path, capsys):
    out = tmp_path / "of"
    assert generalise(source, out) == 0
    told = capsys.readouterr().out
    assert "copying ends" in told
    assert str(out / "curves.png") in told
    assert json.loads((out / "generalisation.json").read_text())["sizes"] == [5, 40]
    assert generalise(source, out) == 2
    assert "--resume to go on with it" in capsys.readouterr().err
    assert generalise(source, out, "--resume") == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--sizes", "5,many"], "--sizes are numbers"),
        (["--sizes", "100"], "half of the others, 54, and 100 is more"),
        (["--budget", "5m"], "give --steps or --budget"),
        (["--model", "real-nvpp"], "did you mean real-nvp"),
    ],
)
def test_what_cannot_be_asked_is_one_line(source, tmp_path, capsys, options, told):
    assert generalise(source, tmp_path / "of", *options) == 2
    err = capsys.readouterr().err
    assert told in err
    assert not (tmp_path / "of").exists()


def test_files_of_others_are_left_alone(source, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert generalise(source, tmp_path, "--resume") == 2
    assert "holds other files (mine.txt" in capsys.readouterr().err
