"""`monge certify`, and the denoiser's lines in an audit."""

import json

import numpy as np
import pytest

from monge import cli, rng

SMALL = ["--set", "net=Size((16,))", "--steps", "40"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 40 steps on vectors of 3 values, half of them held out."""
    folder = tmp_path_factory.mktemp("certifying")
    np.save(folder / "data.npy", (5 * rng.normal((600, 3), 0, "x") + 1).numpy())
    out = folder / "run"
    assert cli.run(["fit", str(folder / "data.npy"), "--out", str(out), "--holdout", "0.5", *SMALL]) == 0
    return out


@pytest.fixture(scope="module")
def twins(run):
    out = run.parent / "twins"
    assert (
        cli.run(["generalise", str(run.parent / "data.npy"), "--sizes", "200", "-n", "20", "--out", str(out), *SMALL])
        == 0
    )
    return out


def certify(folder, *options):
    return cli.run(["certify", str(folder), *map(str, options)])


def test_a_run_is_certified_on_what_it_did_not_see(run, capsys):
    assert certify(run, "-n", 100, "--levels", "1,5") == 0
    told = capsys.readouterr().out
    assert "second-order Tweedie" in told
    kept = json.loads((run / "certificate.json").read_text())
    assert kept["n"] == 100
    assert [part["sigma"] * kept["unit"] for part in kept["levels"]] == pytest.approx([1, 5])
    assert kept["variance_nats"] is None
    assert set(kept["identities"]) == set(kept["levels"][0]["checks"])


def test_twins_tell_the_variance(run, twins, capsys):
    pair = twins / "size-200"
    assert certify(pair / "a", "--twin", pair / "b", "--holdout", twins / "new_rows.npz", "-n", 50) == 0
    assert "of it, by variance, of the reversed diffusion" in capsys.readouterr().out
    kept = json.loads((pair / "a" / "certificate.json").read_text())
    assert kept["variance_nats"]["value"] > 0
    assert all(part["disagreement"]["value"] > 0 for part in kept["levels"])
    result = json.loads((twins / "generalisation.json").read_text())
    assert len(result["denoising"][0]["disagreement"]) == 8


def test_an_audit_has_lines_on_the_denoiser(run):
    assert cli.run(["audit", str(run), "-n", "150"]) in (0, 1, 3)
    lines = json.loads((run / "verdict.json").read_text())["denoiser"]
    assert [line["name"] for line in lines] == [
        "orthogonality", "whiteness", "second-order Tweedie", "symmetric Jacobian"
    ]  # fmt: skip
    assert all(line["margin"] == 0.05 for line in lines)
    assert "Is the denoiser the one it should be?" in (run / "report.html").read_text()


@pytest.fixture(scope="module")
def others(run):
    """Runs that cannot be certified, or are no twins."""
    data, made = str(run.parent / "data.npy"), {}
    other = run.parent / "other.npy"
    np.save(other, rng.normal((300, 3), 1, "x").numpy())
    for name, source, options in (
        ("blind", data, ["--set", "blind=true", *SMALL]),
        ("flow", data, ["--model", "real-nvp", "--steps", "2"]),
        ("elsewhere", str(other), SMALL),
        ("half", data, ["--holdout", "0.4", *SMALL]),
    ):
        made[name] = run.parent / name
        assert cli.run(["fit", source, "--out", str(made[name]), *options]) == 0
    return made


@pytest.mark.parametrize(
    ("which", "options", "told"),
    [
        ("blind", (), "is blind"),
        ("flow", (), "has no denoiser"),
        ("run", ("--twin", "elsewhere"), "other rows of the same data"),
        ("run", ("--twin", "half"), "other units"),
        ("run", ("--levels", "1,two"), "--levels are numbers"),
        ("run", ("--levels", "0"), "above 0"),
        ("a", (), "give --holdout, rows that it did not see"),
    ],
)
def test_what_cannot_be_certified_is_one_line(run, twins, others, capsys, which, options, told):
    places = {**others, "run": run, "a": twins / "size-200" / "a"}
    assert certify(places[which], *(places.get(option, option) for option in options)) == 2
    err = capsys.readouterr().err
    assert told in err
    assert "Traceback" not in err


def test_rows_that_were_learned_from_are_left_out_or_refused(run, tmp_path, capsys):
    whole = np.load(run.parent / "data.npy")
    assert certify(run, "--holdout", run.parent / "data.npy", "-n", 400, "--levels", "1") == 0
    assert "300 rows that" in capsys.readouterr().out
    from monge import data
    from monge.runs.again import split_again
    from monge.runs.folder import Run

    learned, _ = split_again(Run(run))
    np.save(tmp_path / "learned.npy", learned.x.numpy())
    assert len(learned) == len(whole) // 2
    assert certify(run, "--holdout", tmp_path / "learned.npy") == 2
    assert "learned from 300 of these 300 rows" in capsys.readouterr().err
    assert data.load(str(tmp_path / "learned.npy")).event_shape == (3,)


def test_a_twin_whose_rows_are_not_known_is_said(run, twins, capsys):
    pair = twins / "size-200"
    assert certify(pair / "a", "--twin", pair / "b", "--holdout", twins / "new_rows.npz", "--levels", "1,2") == 0
    assert f"whether {pair / 'b'} learned from these rows is not known" in capsys.readouterr().out
