import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from monge import cli
from monge.data import load
from monge.evaluation import Line, Verdict
from monge.files import DiskFull

DATA = "banana?n=1000"


@pytest.fixture
def monge(capsys):
    """Run a command line in this process: (exit status, stdout, stderr)."""

    def call(*arguments):
        capsys.readouterr()
        status = cli.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A run of 3 steps: a bad model, quickly."""
    out = tmp_path_factory.mktemp("cli") / "run"
    assert cli.run(["fit", DATA, "--out", str(out), "--steps", "3"]) == 0
    return out


@pytest.fixture
def run_folder(fitted, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(fitted, tmp_path / "run")


def is_one_line(err):
    """Apart from lines of progress, which show where the machine is slow."""
    err = "".join(line for line in err.splitlines(keepends=True) if not re.match(r"[a-z ]+ \d+%  ", line))
    return err.startswith("monge: error: ") and err.count("\n") == 1 and "Traceback" not in err


def test_fit_tells_when_copies_come(tmp_path, monge):
    np.save(tmp_path / "few.npy", np.random.default_rng(0).normal(size=(60, 3)))
    out = tmp_path / "run"
    asked = ["--steps", 75, "--copies", "--set", "net=Size((16,))", "--validation", 0.3]
    status, told, _ = monge("fit", tmp_path / "few.npy", "--out", out, *asked)
    assert status == 0
    assert "copies: none up to step 71" in told
    assert "samples/copies" in (out / "log.csv").read_text()


def test_help_does_not_import_torch():
    code = (
        "import sys, monge.cli; status = monge.cli.run(['--help']); assert 'torch' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("demo", "fit", "sample", "audit", "denoise", "info"))


def test_python_dash_m_runs_the_same_commands():
    done = subprocess.run([sys.executable, "-m", "monge", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "monge")


def test_fit_leaves_a_run_and_splits_off_a_fifth(fitted):
    record = json.loads((fitted / "model.json").read_text())
    assert record["data"]["n"] == 800
    assert record["data"]["split"]["part"] == "train"
    assert {"weights.safetensors", "log.csv", "checkpoints"} <= {path.name for path in fitted.iterdir()}


def test_sample_writes_what_the_model_draws(monge, run_folder, tmp_path):
    import monge as package

    out = tmp_path / "x.npz"
    status, _, _ = monge("sample", run_folder, "-n", 7, "-o", out, "--seed", 3, "--nfe", 4, "--alpha", 0.5)
    assert status == 0
    with np.load(out, allow_pickle=False) as archive:
        x = archive["x"]
    expected = package.load(run_folder).sample(7, seed=3, nfe=4, alpha=0.5)
    np.testing.assert_array_equal(x, expected.numpy())


def test_samples_are_written_as_the_ending_has_it(monge, tmp_path):
    from monge import data

    rows = np.random.default_rng(0).normal(size=(300, 2))
    np.savetxt(tmp_path / "real.csv", rows, delimiter=",", header="height,weight", comments="")
    assert monge("fit", tmp_path / "real.csv", "--out", tmp_path / "run", "--steps", 2)[0] == 0
    drawn = {}
    for ending in (".npz", ".npy", ".csv", ".parquet"):
        path = tmp_path / f"x{ending}"
        assert monge("sample", tmp_path / "run", "-n", 120, "-o", path)[0] == 0
        drawn[ending] = data.load(str(path))
        assert drawn[ending].columns == (("height", "weight") if ending in (".csv", ".parquet") else None)
        torch.testing.assert_close(drawn[ending].x, drawn[".npz"].x)
    status, _, _ = monge("audit", "--generated", tmp_path / "x.csv", "--holdout", tmp_path / "real.csv",
                           "--html", tmp_path / "r.html")  # fmt: skip
    assert status in (0, 1, 3)
    pictures = (np.random.default_rng(0).uniform(size=(120, 6, 6)) * 255).astype(np.uint8)
    np.save(tmp_path / "pictures.npy", pictures)
    assert monge("fit", tmp_path / "pictures.npy", "--out", tmp_path / "gray", "--steps", 2)[0] == 0
    assert monge("sample", tmp_path / "gray", "-n", 12, "-o", tmp_path / "drawn")[0] == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir())[::11] == ["00.png", "11.png"]
    assert data.load(str(tmp_path / "drawn")).event_shape == (1, 6, 6)
    status, _, err = monge("sample", tmp_path / "gray", "-n", 12, "-o", tmp_path / "drawn")
    assert (status, "exists already" in err) == (2, True)
    np.save(tmp_path / "noisy.npy", pictures[0] + 9.0)  # one picture, without an axis for its channel
    assert (
        monge("denoise", tmp_path / "gray", tmp_path / "noisy.npy", "--sigma", 20, "-o", tmp_path / "out.npy")[0] == 0
    )
    assert np.load(tmp_path / "out.npy", allow_pickle=False).shape == (6, 6)
    status, _, err = monge("sample", tmp_path / "gray", "-n", 12, "-o", tmp_path / "x.csv")
    assert (status, "would be a table, and these samples are images" in err) == (2, True)


def test_groups_and_missing_rows_go_from_fit_to_audit(monge, tmp_path):
    draw = np.random.default_rng(0)
    lines = [f"p{i // 4},{draw.normal():.6f},{draw.normal():.6f}" for i in range(800)]
    (tmp_path / "x.csv").write_text("\n".join(["patient,height,weight", "p0,,1.0", *lines]) + "\n")
    given = ("fit", tmp_path / "x.csv", "--out", tmp_path / "run", "--steps", 2, "--group", "patient")
    status, _, err = monge(*given)
    assert (status, "--drop-missing" in err) == (2, True)
    assert monge(*given, "--drop-missing")[0] == 0
    status, out, err = monge("audit", tmp_path / "run", "-n", 150)
    assert status in (1, 3), err
    assert "of height" in out + (tmp_path / "run" / "verdict.json").read_text()


def test_what_is_told_of_the_data_is_kept_with_the_run(monge, tmp_path):
    rows = np.random.default_rng(0).normal(size=(300, 2)).round(3)
    (tmp_path / "t.csv").write_text(",a,b\n" + "".join(f"{i},{a},{b}\n" for i, (a, b) in enumerate(rows)))
    with pytest.warns(UserWarning, match="the column '' numbers the rows"):
        assert monge("fit", tmp_path / "t.csv", "--out", tmp_path / "run", "--steps", 2)[0] == 0
    assert "the column '' numbers the rows, and is left out" in " ".join(monge("info", tmp_path / "run")[1].split())


def test_tables_are_compared_by_name_with_missing_cells_left_out(monge, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal([0, 3], size=(400, 2)).round(3)
    for name, order in (("h.csv", (0, 1)), ("g.csv", (1, 0))):
        rows = [f"{row[order[0]]},{row[order[1]]}" for row in x]
        rows[3] = f",{x[3, 1]}" if order[0] == 0 else f"{x[3, 1]},"
        (tmp_path / name).write_text(",".join("ab"[i] for i in order) + "\n" + "\n".join(rows) + "\n")
    given = ["distance", tmp_path / "g.csv", tmp_path / "h.csv"]
    assert monge(*given)[0] == 2
    status, _, err = monge(*given, "--drop-missing", "--json", tmp_path / "d.json")
    assert (status, json.loads((tmp_path / "d.json").read_text())["value"] < 0.3) == (0, True), err
    given = ["audit", "--generated", tmp_path / "g.csv", "--holdout", tmp_path / "h.csv"]
    assert monge(*given, "--columns", "a,b", "--missing", "learn")[0] in (0, 3)


def test_categories_go_through_fit_sample_and_audit_by_name(monge, tmp_path):
    rng = np.random.default_rng(0)
    colour = rng.choice(["blue", "green", "red"], 600, p=[0.2, 0.3, 0.5])
    size = rng.normal(size=600) + (colour == "red")
    rows = "".join(f"{s:.5f},{c},{1 + (c == 'red')}\n" for s, c in zip(size, colour, strict=True))
    (tmp_path / "t.csv").write_text("size,colour,times\n" + rows)
    given = ("fit", tmp_path / "t.csv", "--weights", "times", "--out", tmp_path / "run", "--steps", 20)
    status, out, err = monge(*given)
    assert (status, "these 600 rows are worth" in out) == (0, True), err
    assert monge("sample", tmp_path / "run", "-n", 150, "-o", tmp_path / "new.csv")[0] == 0
    from pyarrow import csv

    drawn = csv.read_csv(tmp_path / "new.csv")
    assert drawn.column_names == ["size", "colour"]
    assert set(drawn["colour"].to_pylist()) <= {"blue", "green", "red"}
    given = ("audit", "--generated", tmp_path / "new.csv", "--holdout", tmp_path / "t.csv", "--weights", "times")
    status, out, _ = monge(*given)
    assert status in (0, 1, 3)
    assert "150 generated" in out
    assert "of 600 held-out rows with weights" in " ".join(out.split())


def test_audit_of_a_run_judges_against_what_it_did_not_see(monge, run_folder, tmp_path):
    verdict = tmp_path / "v.json"
    status, out, err = monge("audit", run_folder, "-n", 200, "--json", verdict)
    content = json.loads(verdict.read_text())
    assert status == 1, err  # three steps do not make a model
    assert content["status"] == "fail"
    assert content == json.loads((run_folder / "verdict.json").read_text())
    assert (content["context"]["n_generated"], content["context"]["n_holdout"]) == (200, 200)
    assert content["context"]["n_train"] == 800
    assert "FAIL" in out
    page = html.unescape((run_folder / "report.html").read_text())
    assert "monge fit 'banana?n=1000'" in page
    assert np.load(run_folder / "samples.npz", allow_pickle=False)["x"].shape == (200, 2)
    assert monge("info", run_folder)[1].rstrip().endswith("fail")


def test_audit_uses_the_samples_that_are_there_and_keeps_them(monge, run_folder):
    real = load(DATA).x[:300].numpy()
    np.savez(run_folder / "samples.npz", x=real)
    before = (run_folder / "samples.npz").read_bytes()
    status, _, _ = monge("audit", run_folder, "-n", 250)
    content = json.loads((run_folder / "verdict.json").read_text())
    assert content["context"]["n_generated"] == 250
    assert status in (0, 1, 3)
    assert status == {"pass": 0, "fail": 1, "undecided": 3}[content["status"]]
    assert (run_folder / "samples.npz").read_bytes() == before


@pytest.mark.parametrize(("found", "expected"), [("pass", 0), ("fail", 1), ("undecided", 3)])
def test_status_of_an_audit_is_its_exit_status(monge, tmp_path, monkeypatch, found, expected):
    from monge.cli import verdicts

    line = Line("energy distance", 0.1, (0.0, 0.2), 0.1, None, 0.1, found, "How far.")
    monkeypatch.setattr(verdicts, "audit", lambda *_, **__: Verdict(fidelity=(line,)))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(200, 2)))
    given = ("audit", "--generated", tmp_path / "x.npy", "--holdout", DATA)
    status, out, _ = monge(*given, "--html", tmp_path / "r.html", "--json", tmp_path / "v.json")
    assert status == expected
    assert found.upper() in out
    assert (tmp_path / "r.html").exists()
    assert json.loads((tmp_path / "v.json").read_text())["status"] == found


def test_runs_of_several_seeds_are_judged_together(monge, run_folder, tmp_path):
    other = shutil.copytree(run_folder, tmp_path / "other")
    status, out, _ = monge("audit", run_folder, other, "-n", 150, "--json", tmp_path / "both.json")
    assert status == 1
    assert "95% over runs" in out
    both = json.loads((tmp_path / "both.json").read_text())
    assert set(both) == {str(run_folder), str(other)}
    assert both[str(other)]["defects"][0]["status"] in ("pass", "fail", "undecided")
    assert (other / "report.html").exists()
    status, _, err = monge("audit", run_folder, other, "--html", tmp_path / "r.html")
    assert status == 2
    assert "--html is for one RUN" in err


def test_a_plan_tells_the_rows_that_an_audit_needs(monge, tmp_path):
    data = tmp_path / "real.npy"
    np.save(data, np.random.default_rng(0).normal(size=(400, 2)))
    status, out, _ = monge("audit", "--plan", data, "-n", 5000)
    assert status == 0
    assert "half-space across any direction" in " ".join(out.split())
    assert "With 5,000 generated and 400 held-out rows, of which 80 are learned from" in " ".join(out.split())
    status, _, error = monge("audit", "--plan", data, "--holdout", data)
    assert (status, error.count("\n")) == (2, 1)
    assert "--plan is of held-out data alone" in error
    np.save(data, np.zeros((150, 2)) + np.arange(150)[:, None])
    status, _, error = monge("audit", "--plan", data)
    assert status == 2
    assert "a plan needs 200 held-out rows, and there are 150" in error


def test_some_of_a_sorted_file_are_a_draw_of_all(monge, tmp_path):
    draw = np.random.default_rng(0)
    for name, n in (("g", 2000), ("h", 800)):
        np.save(tmp_path / f"{name}.npy", 8.0 * np.sort(draw.integers(0, 4, n))[:, None] + draw.normal(size=(n, 2)))
    files = ("--generated", tmp_path / "g.npy", "--holdout", tmp_path / "h.npy")
    assert monge("audit", *files, "-n", 500, "--rows", 400, "--json", tmp_path / "v.json")[0] != 1
    assert json.loads((tmp_path / "v.json").read_text())["context"]["n_compared"] == [400, 320]


def test_audit_of_files_finds_a_shift(monge, tmp_path):
    np.save(tmp_path / "x.npy", load(DATA).x[:300].numpy() + 3)
    assert monge("audit", "--generated", tmp_path / "x.npy", "--holdout", DATA)[0] == 1


@pytest.mark.parametrize("shape", [(1, 16), (3, 4, 4), (1, 3, 8)])
def test_audit_of_files_reads_them_like_the_held_out_data(tmp_path, shape):
    from monge.cli.verdicts import judge_files

    rng = np.random.default_rng(0)
    for name in ("x", "y"):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(150, *shape)))
    verdict, x, y = judge_files(str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), None, 120, 0)
    assert x.event_shape == y.event_shape
    assert verdict.context["n_generated"] == 120


def test_audit_of_files_reads_a_one_dimensional_field_as_one(monge, tmp_path):
    x = load("gaussian-field?shape=16&n=300").x.numpy()
    np.save(tmp_path / "x.npy", x + 3)
    assert (
        monge("audit", "--generated", tmp_path / "x.npy", "--holdout", "gaussian-field?shape=16&n=300&seed=1")[0] == 1
    )


def test_distance_tells_the_value_and_what_real_data_give(monge, tmp_path):
    for metric in ("w2", "w1", "sliced", "sinkhorn", "energy"):
        status, out, _ = monge("distance", "moons?n=100", "banana?n=100", "--metric", metric)
        assert status == 0
        assert "moons?n=100 from banana?n=100" in out
        assert "banana?n=100 from itself" in out
    written = tmp_path / "d.json"
    assert monge("distance", "moons?n=100", "banana?n=100", "-n", "50", "--json", written)[0] == 0
    found = json.loads(written.read_text())
    assert found["interval"][0] < found["value"] < found["interval"][1]
    assert found["rows"] == [50, 50]
    status, _, err = monge("distance", "moons?n=100", "banana?n=100", "--json", written)
    assert status == 2
    assert "--force" in err


def test_audit_refuses_data_that_changed(monge, run_folder):
    record = json.loads((run_folder / "model.json").read_text())
    record["data"]["source"] = "banana?n=1000&seed=1"
    (run_folder / "model.json").write_text(json.dumps(record))
    status, _, err = monge("audit", run_folder)
    assert status == 2
    assert "fingerprint differs" in err
    assert not (run_folder / "verdict.json").exists()


def test_denoise_writes_into_the_run(monge, tmp_path):
    from PIL import Image

    out = tmp_path / "digits"
    assert monge("fit", "digits", "--out", out, "--steps", 1, "--batch-size", 8, "--watch")[0] == 0
    assert (out / "watch.png").exists()
    Image.fromarray(np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "y.png")
    assert monge("denoise", out, tmp_path / "y.png", "--sigma", 1e-3)[0] == 0
    # almost no noise: the picture comes back, up to one level in 256
    picture = np.asarray(Image.open(out / "denoised" / "y.png")).astype(int)
    assert np.abs(picture.ravel() - np.arange(0, 256, 4)).max() <= 1
    status, _, err = monge("denoise", out, tmp_path / "y.png", "--sigma", 1)
    assert status == 2
    assert "exists already" in err
    Image.fromarray(np.zeros((9, 13), np.uint8)).save(tmp_path / "big.png")
    assert monge("denoise", out, tmp_path / "big.png", "--sigma", 1)[0] == 0
    assert Image.open(out / "denoised" / "big.png").size == (13, 9)
    np.save(tmp_path / "two.npy", np.zeros((2, 1, 9, 9), np.float32))
    status, _, err = monge("denoise", out, tmp_path / "two.npy", "--sigma", 1)
    assert status == 2
    assert is_one_line(err)
    assert not (out / "denoised" / "two.npy").exists()
    for sigma in ("-1", "nan", "inf"):
        status, _, err = monge("denoise", out, tmp_path / "y.png", "--sigma", sigma, "-o", tmp_path / "z.png")
        assert status == 2
        assert not (tmp_path / "z.png").exists()
    assert monge("denoise", out, tmp_path / "y.png", "--sigma", 0, "-o", tmp_path / "z.png")[0] == 0
    assert np.abs(np.asarray(Image.open(tmp_path / "z.png")).astype(int).ravel() - np.arange(0, 256, 4)).max() <= 1


def test_a_closed_pipe_is_not_a_verdict(tmp_path):
    """`monge ... | true`: neither "fail" (1) nor a traceback."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(300, 2)))
    np.save(tmp_path / "y.npy", np.random.default_rng(1).normal(size=(300, 2)))
    command = f"{sys.executable} -m monge audit --generated {tmp_path}/x.npy --holdout {tmp_path}/y.npy"
    done = subprocess.run(["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True)
    assert done.stdout.strip() == "141"
    assert done.stderr == ""


def test_a_run_is_audited_from_elsewhere_and_after_a_move(monge, tmp_path, monkeypatch):
    home = tmp_path / "home"
    (tmp_path / "away").mkdir()
    home.mkdir()
    np.save(home / "points.npy", np.random.default_rng(0).normal(size=(700, 2)))
    monkeypatch.chdir(home)
    assert monge("fit", "points.npy", "--out", "run", "--steps", 1)[0] == 0
    monkeypatch.chdir(tmp_path / "away")
    assert monge("audit", home / "run", "-n", 150)[0] in (0, 1, 3)
    (home / "points.npy").rename(tmp_path / "moved.npy")
    status, _, err = monge("audit", home / "run", "-n", 150)
    assert status == 2
    assert "--data" in err
    assert monge("audit", home / "run", "-n", 150, "--data", tmp_path / "moved.npy")[0] in (0, 1, 3)


def test_too_little_held_out_is_said_before_anything_is_drawn(monge, tmp_path):
    np.save(tmp_path / "few.npy", np.random.default_rng(0).normal(size=(80, 2)))
    status, out, _ = monge("fit", tmp_path / "few.npy", "--out", tmp_path / "run", "--steps", 1)
    assert status == 0
    assert "only 16 samples are held out" in out.replace("\n", " ")
    status, _, err = monge("audit", tmp_path / "run")
    assert status == 2
    assert "larger --holdout" in err
    assert not (tmp_path / "run" / "samples.npz").exists()


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A run on labelled vectors, with settings of its own."""
    folder = tmp_path_factory.mktemp("labelled")
    y = np.arange(600) % 3
    x = np.random.default_rng(0).normal(size=(600, 2)) + 5 * np.eye(3, 2)[y]
    np.savez(folder / "data.npz", x=x, y=np.array(["ant", "bee", "cat"])[y])
    arguments = ["fit", str(folder / "data.npz"), "--out", str(folder / "run"), "--steps", "3"]
    options = [
        "net=Size(widths=(16,), blocks=1)",
        "noise=OrnsteinUhlenbeck(kappa=2)",
        "label-dropout=0.1",
        "sigma_max=9",
    ]
    sets = [word for option in options for word in ("--set", option)]
    assert cli.run([*arguments, *sets, "--validation", "0.1", "--patience", "2"]) == 0
    return folder / "run"


def test_settings_reach_the_model_and_the_report_tells_them(monge, labelled):
    record = json.loads((labelled / "model.json").read_text())
    assert record["settings"]["net"] == {
        "object": "monge.nets.Size",
        "settings": {"widths": [16], "blocks": 1, "attention": None, "dropout": 0.0, "stem": None, "waves": 0},
    }
    assert record["settings"]["noise"]["settings"]["kappa"] == 2
    assert (record["settings"]["label_dropout"], record["settings"]["sigma_max"]) == (0.1, 9)
    assert (record["training"]["validation"], record["training"]["patience"]) == (0.1, 2)
    assert "held-out loss" in (labelled / "log.csv").read_text()
    told = " ".join(monge("info", labelled)[1].split())
    assert "net Size(widths=(16,), blocks=1" in told
    assert "labels ant, bee, cat" in told
    assert monge("audit", labelled, "-n", 120)[0] in (0, 1, 3)
    page = html.unescape((labelled / "report.html").read_text())
    assert "Samples by label" in page
    verdict = json.loads((labelled / "verdict.json").read_text())
    assert "labels given" in [line["name"] for line in verdict["fidelity"]]
    with np.load(labelled / "samples.npz", allow_pickle=False) as archive:
        assert set(archive["y"]) <= {"ant", "bee", "cat"}
    (again,) = [line for line in page.splitlines() if "monge fit" in line and "--set" in line]
    for told in ("net=Size(widths=(16,)", "noise=OrnsteinUhlenbeck(kappa=2", "label_dropout=0.1", "--patience 2"):
        assert told in again
    (labelled / "samples.npz").unlink()


def test_a_flow_is_audited_for_its_likelihood_too(monge, tmp_path):
    out = tmp_path / "flow"
    sets = ("--set", "layers=1", "--set", "net=Size(widths=(16,), blocks=1)")
    assert monge("fit", DATA, "--model", "spline-flow", "--out", out, "--steps", 30, *sets)[0] == 0
    status, told, err = monge("audit", out, "-n", 150)
    assert status in (0, 1, 3), err
    lines = {line["name"]: line for line in json.loads((out / "verdict.json").read_text())["likelihood"]}
    assert list(lines) == ["log-likelihood", "latent coordinates", "latent norm"]
    assert "log-likelihood" in told
    assert "latent norm" in html.unescape((out / "report.html").read_text())
    assert monge("sample", out, "-n", 3, "-o", tmp_path / "x.npz")[0] == 0
    status, _, err = monge("sample", out, "-n", 3, "-o", tmp_path / "y.npz", "--nfe", 5)
    assert status == 2
    assert "SplineFlow has no --nfe" in err


def test_sample_by_label_and_by_vector(monge, labelled, tmp_path):
    import monge as package

    for label in ("bee", "1"):
        assert monge("sample", labelled, "-n", 5, "-o", tmp_path / f"{label}.npz", "--label", label)[::2] == (0, "")
        with np.load(tmp_path / f"{label}.npz", allow_pickle=False) as archive:
            np.testing.assert_array_equal(archive["x"], package.load(labelled).sample(5, label=1).numpy())
            assert archive["label"].item() == label
    status, _, err = monge("sample", labelled, "-n", 5, "-o", tmp_path / "x.npz", "--label", "dog")
    assert status == 2
    assert "no label 'dog': the model was trained on ant, bee, cat" in err
    shutil.copy(tmp_path / "bee.npz", labelled / "samples.npz")
    status, _, err = monge("audit", labelled, "-n", 5)
    assert status == 2
    assert "holds samples of label bee alone" in err
    (labelled / "samples.npz").unlink()

    x = np.random.default_rng(0).normal(size=(300, 2))
    np.savez(tmp_path / "told.npz", x=x, y=x[:, :1])
    assert monge("fit", tmp_path / "told.npz", "--out", tmp_path / "run", "--steps", 1)[0] == 0
    assert monge("sample", tmp_path / "run", "-n", 3, "-o", tmp_path / "v.npz", "--label", "0.5")[0] == 0
    status, _, err = monge("sample", tmp_path / "run", "-n", 3, "-o", tmp_path / "w.npz", "--label", "bee")
    assert status == 2
    assert "give --label numbers" in err


def test_a_game_of_pairs_from_file_to_verdict(monge, tmp_path):
    """Fields beside fields in one archive: they are told, and the audit draws for those that were held out."""
    y = np.random.default_rng(0).normal(size=(600, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "pairs.npz", x=y[:, ::-1] + 1, y=y)
    options = ["--model", "gan", "--set", "penalty=none", "--set", "net=Size(widths=(8,), blocks=1)", "--batch-size", 8]
    assert monge("fit", tmp_path / "pairs.npz", "--out", tmp_path / "run", "--steps", 3, *options)[0] == 0
    assert monge("audit", tmp_path / "run", "-n", 150)[0] == 1
    assert "In a game no loss says how far it is" in (tmp_path / "run" / "report.html").read_text()
    status, _, err = monge("sample", tmp_path / "run", "-n", 3, "-o", tmp_path / "x.npz")
    assert status == 2
    assert "conditioned on images of [1, 8, 8]" in err
    status, _, err = monge("sample", tmp_path / "run", "-n", 3, "-o", tmp_path / "x.npz", "--label", "3")
    assert status == 2
    assert "draw for one in Python" in err
    np.savez(tmp_path / "other.npz", x=y, y=y[:, :5])
    status, _, err = monge("fit", tmp_path / "other.npz", "--out", tmp_path / "other", *options)
    assert status == 2
    assert "the array y is [600, 5, 8]" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "moons", "--out", "OUT", "--set", "blnd=true"], "has no setting blnd: did you mean blind?"),
        (["fit", "moons", "--out", "OUT", "--set", "blind"], "give a name and a value"),
        (["fit", "moons", "--out", "OUT", "--set", "blind=3"], "blind must be true or false, not '3'"),
        (["fit", "moons", "--out", "OUT", "--set", "level_std=wide"], "level_std must be a number"),
        (["fit", "moons", "--out", "OUT", "--set", "net=Sise(blocks=1)"], "did you mean Size?"),
        (["fit", "moons", "--out", "OUT", "--set", "net=Size(depth=1)"], "unexpected keyword argument 'depth'"),
        (["fit", "moons", "--out", "OUT", "--set", "net=open('x')"], "no object open"),
        (["fit", "moons", "--out", "OUT", "--set", "noise=Size()"], "noise must be"),
        (["fit", "banana", "--out", "OUT", "--set", "labels=true"], "has no labels"),
        (["fit", "banana?n=60", "--out", "OUT", "--patience", "2"], "patience needs rows"),
        (["sample", "RUN", "-n", "3", "-o", "x.npz", "--label", "1"], "trained without labels"),
        (["demmo"], "demo"),
        (["fit"], "SOURCE"),
        (["fit", "digit", "--out", "OUT"], "did you mean digits?"),
        (["fit", "missing.npy", "--out", "OUT"], "missing.npy"),
        (["fit", "digits", "--out", "OUT", "--model", "difusion"], "did you mean diffusion?"),
        (["fit", "digits", "--out", "OUT", "--steps", "0"], "--steps"),
        (["fit", "digits", "--out", "OUT", "--steps", "5", "--budget", "5s"], "not both"),
        (["fit", "digits", "--out", "OUT", "--budget", "soon"], "budget"),
        (["fit", "digits", "--out", "RUN"], "holds a run"),
        (["fit", "rings", "--out", "RUN", "--resume"], "RUN"),
        (["sample", "nowhere", "-n", "3", "-o", "x.npz"], "nowhere holds no run"),
        (["sample", "RUN", "-n", "3", "-o", "x.npz", "--nfe", "0"], "--nfe"),
        (["sample", "RUN", "-n", "3", "-o", "x.npz", "--alpha", "-1"], "--alpha"),
        (["sample", "RUN", "-n", "3", "-o", "x.npz", "--alpha", "nan"], "alpha"),
        (["sample", "RUN", "-n", "0", "-o", "x.npz"], "-n"),
        (["sample", "RUN", "-n", "3", "-o", "x.doc"], "must end in .npz, .npy, .nc, .zarr, .h5"),
        (["sample", "RUN", "-n", "3", "-o", "x"], "these samples are vectors: write .npz or .npy"),
        (["audit"], "nothing to audit"),
        (["audit", "RUN", "--generated", "x.npy"], "not both"),
        (["audit", "--generated", "missing.npy", "--holdout", "digits"], "missing.npy"),
        (["audit", "RUN", "-n", "5"], "100"),
        (["audit", "RUN", "--margin", "mass"], "such as --margin mass=0.05"),
        (["audit", "RUN", "--margin", "size=0.1"], "there is no size; there are mass"),
        (["audit", "RUN", "--margin", "mass=5"], "a share between 0 and 1"),
        (["distance", "digits", "patches"], "one size of events: 64 and 256 values"),
        (["distance", "moons", "banana", "--metric", "w3"], "w3"),
        (["distance", "moons", "banana", "--epsilon", "1"], "--epsilon is for --metric sinkhorn, not w2"),
        (["info", "nowhere"], "nowhere holds no run"),
        (["denoise", "RUN", "missing.png", "--sigma", "1"], "missing.png"),
        (["demo", "--out", "RUN"], "not a demo"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_status_2(monge, run_folder, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    before = snapshot(tmp_path)
    places = {"RUN": "run", "OUT": "new"}
    status, _, err = monge(*[places.get(argument, argument) for argument in arguments])
    assert status == 2
    assert is_one_line(err), err
    assert words.replace("RUN", "run") in err
    assert snapshot(tmp_path) == before


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", ["sample", "audit json", "audit html", "fit", "demo"])
def test_nobody_s_files_are_overwritten(monge, run_folder, tmp_path, command):
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("x.npz", "v.json"):
        (mine / name).write_text("mine")
    status, _, err = monge(
        *{
            "sample": ("sample", run_folder, "-n", 3, "-o", mine / "x.npz"),
            "audit json": ("audit", run_folder, "--json", mine / "v.json"),
            "audit html": ("audit", run_folder, "--html", mine / "v.json"),
            "fit": ("fit", DATA, "--out", mine),
            "demo": ("demo", "--out", mine, "--force"),
        }[command]
    )
    assert status == 2
    assert is_one_line(err), err
    assert [(mine / name).read_text() for name in ("x.npz", "v.json")] == ["mine", "mine"]


def test_truncated_weights_are_bad_input(monge, run_folder, tmp_path):
    weights = run_folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    status, _, err = monge("sample", run_folder, "-n", 3, "-o", tmp_path / "x.npz")
    assert status == 2
    assert is_one_line(err), err


def test_a_damaged_record_is_bad_input(monge, run_folder):
    (run_folder / "model.json").write_text('{"format": 1')
    status, _, err = monge("info", run_folder)
    assert status == 2
    assert "damaged" in err


def test_an_unfinished_run_says_so(monge, run_folder, tmp_path):
    (run_folder / "weights.safetensors").unlink()
    status, _, err = monge("sample", run_folder, "-n", 3, "-o", tmp_path / "x.npz")
    assert status == 2
    assert "--resume" in err
    assert "unfinished" in monge("info", run_folder)[1]


@pytest.mark.parametrize(
    "failure", [DiskFull("no space left to write x"), PermissionError(13, "Permission denied", "x")]
)
def test_a_full_or_closed_disk_is_told_in_one_line(monge, run_folder, tmp_path, monkeypatch, failure):
    from monge.cli import drawing

    def refuse(*_):
        raise failure

    monkeypatch.setattr(drawing, "write_atomic", refuse)
    status, _, err = monge("sample", run_folder, "-n", 3, "-o", tmp_path / "x.npz")
    assert status == 2
    assert is_one_line(err), err
    assert "x" in err


def test_debug_shows_where_it_went_wrong(run_folder):
    from monge.errors import BadInput

    with pytest.raises(BadInput):
        cli.run(["sample", str(run_folder), "-n", "3", "-o", "x.doc", "--debug"])


def test_a_bug_is_not_taken_for_a_failed_audit(monge, run_folder, tmp_path, monkeypatch):
    from monge.cli import drawing

    monkeypatch.setattr(drawing, "write_atomic", lambda *_: 1 / 0)
    status, _, err = monge("sample", run_folder, "-n", 3, "-o", tmp_path / "x.npz")
    assert status == 70
    assert "ZeroDivisionError" in err
    assert "--debug" in err


def test_the_strength_of_a_label_is_its_guidance_and_one(monge, labelled, tmp_path):
    def draw(name, *options):
        path = tmp_path / f"{name}.npy"
        return monge("sample", labelled, "-n", "5", "--label", "bee", "-o", path, *options), path

    (status, _, _), stronger = draw("a", "--strength", "2")
    (_, _, _), guided = draw("b", "--guidance", "1")
    assert status == 0
    np.testing.assert_array_equal(np.load(stronger), np.load(guided))
    (status, _, err), _ = draw("c", "--strength", "2", "--guidance", "1")
    assert status == 2
    assert "give one of them" in err


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory):
    """A demo of two steps; its exit status is kept beside it."""
    out = tmp_path_factory.mktemp("demo") / "run"
    from monge.cli import fitting

    patch = pytest.MonkeyPatch()
    patch.setattr(fitting, "DEMO_SAMPLES", 150)
    patch.setattr("monge.cli.verdicts.WALKS", 1)
    with patch.context():
        status = cli.run(["demo", "--out", str(out), "--steps", "2"])
    patch.undo()
    return out, status


def test_demo_goes_from_start_to_report(demo_folder):
    out, status = demo_folder
    assert status == 0  # two steps: the verdict is fail, and the demo is done
    assert json.loads((out / "verdict.json").read_text())["status"] == "fail"
    assert np.load(out / "samples.npz", allow_pickle=False)["x"].shape == (150, 1, 8, 8)
    assert "monge demo --out" in (out / "report.html").read_text()


def test_a_finished_demo_is_shown_again(monge, demo_folder):
    before = snapshot(demo_folder[0])
    status, out, _ = monge("demo", "--out", demo_folder[0], "--steps", 2)
    assert status == 0
    assert "is finished" in out
    assert "classifier accuracy" in out
    assert snapshot(demo_folder[0]) == before


def test_an_undecided_demo_is_no_error(monge, demo_folder, tmp_path):
    out = shutil.copytree(demo_folder[0], tmp_path / "run")
    line = Line("energy distance", 0.1, (0.0, 0.2), 0.1, None, 0.05, "undecided", "How far.")
    (out / "verdict.json").write_text(Verdict(fidelity=(line,)).to_json())
    status, text, _ = monge("demo", "--out", out, "--steps", 2)
    assert status == 0
    assert "UNDECIDED" in text


def test_another_demo_is_not_mixed_up(monge, demo_folder):
    status, _, err = monge("demo", "--out", demo_folder[0], "--steps", 2, "--seed", 5)
    assert status == 2
    assert "--seed 0" in err


def test_an_unfinished_demo_wants_resume(monge, demo_folder, tmp_path):
    out = shutil.copytree(demo_folder[0], tmp_path / "run")
    (out / "weights.safetensors").unlink()
    (out / "verdict.json").unlink()
    status, _, err = monge("demo", "--out", out, "--steps", 2)
    assert status == 2
    assert f"monge demo --out {out} --steps 2 --resume" in err


def test_a_demo_is_given_more_steps(monge, demo_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("monge.cli.fitting.DEMO_SAMPLES", 150)
    out = shutil.copytree(demo_folder[0], tmp_path / "run")
    status, _, err = monge("demo", "--out", out, "--steps", 3)
    assert status == 2
    assert "more --steps with --resume" in err
    status, text, _ = monge("demo", "--out", out, "--steps", 3, "--resume")
    assert status == 0
    record = json.loads((out / "model.json").read_text())
    assert (record["training"]["steps"], record["stages"]) == (3, [2])
    assert f"report    {out / 'report.html'}" in text


def test_force_deletes_the_run_and_nothing_else(tmp_path):
    from monge.runs.folder import Run

    for name in ("model.json", "weights.safetensors", "samples.npz", "notes.txt"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "00000010.safetensors").write_text("")
    Run(tmp_path).clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_ctrl_c_leaves_a_run_that_resume_finishes(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "monge", "fit", DATA, "--out", str(out), "--steps", "100000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    deadline = time.monotonic() + 60
    while not (out / "log.csv").exists() or len((out / "log.csv").read_text().splitlines()) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = err.rstrip().splitlines()[-1]
    assert last == f"monge: interrupted: go on with: monge fit 'banana?n=1000' --out {out} --steps 100000 --resume"
    assert list((out / "checkpoints").glob("*.safetensors"))


def test_split_again_follows_parts_of_parts(run_folder):
    from monge.runs.again import split_again
    from monge.runs.folder import Run

    whole = load(DATA)
    learned, held = whole.split(0.5, 1)[1].split(0.3, 2)
    record = json.loads((run_folder / "model.json").read_text())
    record["data"] = learned.describe()
    (run_folder / "model.json").write_text(json.dumps(record))
    train, holdout = split_again(Run(run_folder))
    assert torch.equal(train.x, learned.x)
    assert torch.equal(holdout.x, held.x)


# -- chains ------------------------------------------------------------------------------------------------


PHI4 = ("chain", "phi4", "--shape", "6,6", "--kappa", "0.25", "--lam", "0.02", "--chains", "8", "--draws", "300")


def test_chain_writes_draws_and_traces_and_tells_them(monge, tmp_path):
    out = tmp_path / "chain.nc"
    status, stdout, _ = monge(*PHI4, "-o", out)
    assert status == 0
    assert all(word in stdout for word in ("energy", "|M|", "R-hat", "± error", "accepted"))
    assert (tmp_path / "chain.png").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"chain.nc", "chain.png"}
    import arviz

    data = arviz.from_netcdf(out)
    assert data.posterior["x"].shape == (8, 300, 1, 6, 6)
    data.close()
    status, _, err = monge(*PHI4, "-o", out)
    assert status == 2
    assert "--force" in err
    assert monge(*PHI4, "-o", out, "--force", "--no-keep")[0] == 0
    data = arviz.from_netcdf(out)
    assert data.constant_data["last_x"].shape == (8, 1, 6, 6)
    assert set(data.posterior) == {"M", "|M|"}


def test_a_chain_that_is_stopped_goes_on(monge, tmp_path, monkeypatch):
    from monge.samplers.chains import walk

    out, step = tmp_path / "chain.nc", walk.Walk.step

    def stopping(self):
        if self.state.steps == 250:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(walk.Walk, "step", stopping)
    status, _, err = monge(*PHI4, "-o", out)
    assert status == 130
    assert "--resume" in err
    monkeypatch.setattr(walk.Walk, "step", step)
    status, _, err = monge(*PHI4, "-o", out)
    assert status == 2
    assert "--resume goes on" in err
    status, _, err = monge(*PHI4, "-o", out, "--seed", "1", "--resume")
    assert status == 2
    assert "of another run" in err
    assert monge(*PHI4, "-o", out, "--resume")[0] == 0
    assert not out.with_name("chain.nc.part").exists()


@pytest.mark.parametrize("sampler", ["hmc", "gibbs", "replica-exchange"])
@pytest.mark.filterwarnings("ignore::monge.samplers.DoubtfulChains")
def test_chain_by_every_sampler(monge, tmp_path, sampler):
    arguments = ("--chains", "2", "--draws", "10", "--warmup", "10", "--sampler", sampler)
    assert monge("chain", "phi4", *PHI4[2:8], *arguments, "-o", tmp_path / "c.nc")[0] == 0


def test_unadjusted_chains_of_a_narrow_law_find_their_step(monge, tmp_path):
    arguments = ("--sampler", "ula", "--chains", "2", "--draws", "20", "--warmup", "20")
    assert monge("chain", "rings", *arguments, "-o", tmp_path / "c.nc")[0] == 0
    assert monge("chain", "rings", *arguments, "--step", "0.0001", "-o", tmp_path / "d.nc")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("phy4",), "did you mean phi4"),
        (("phi4", "--kappa", "0.2"), "needs --shape and --lam"),
        (("phi4", "--shape", "4,x", "--kappa", "0.2", "--lam", "0.1"), "sides such as 32,32"),
        (("phi4", "--shape", "4,4", "--kappa", "0.2", "--lam", "-1"), "bounded below"),
        (("ising", "--shape", "4,4", "--beta", "-0.1"), "0 or more"),
        (("ising", "--shape", "4,4", "--kappa", "0.1"), "ising has no kappa"),
        (("ising", "--shape", "4,4", "--sampler", "hmc"), "no score"),
        (("double-well", "--sampler", "wolff"), "for Ising and Phi4"),
        (("double-well", "--sampler", "hm"), "no sampler 'hm'"),
        (("ising", "--shape", "4,4", "--step", "0.1"), "wolff has no step"),
        (("double-well", "--sampler", "ula", "--step", "0"), "--step must be above 0"),
        (("double-well", "--sampler", "ula", "--step", "nan"), "--step must be above 0"),
        (("double-well", "--set", "mu"), "a name and a value"),
        (("double-well", "--set", "b=-1"), "b > 0"),
    ],
)
def test_chains_that_cannot_be_are_refused(monge, tmp_path, arguments, words):
    status, _, err = monge("chain", *arguments, "-o", tmp_path / "c.nc")
    assert status == 2
    assert is_one_line(err)
    assert words in err
    status, _, err = monge("chain", "double-well", "-o", tmp_path / "c.txt")
    assert status == 2
    assert ".nc" in err


def test_a_run_with_weights_is_judged_and_shown_by_the_law_that_is_meant(monge, tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    u = draw.normal(size=1000)
    weight = np.where(u > 0, 1.0, 0.25)
    lines = (f"{a:.5f},{b:.5f},{w}" for a, b, w in zip(u, draw.normal(size=1000), weight, strict=True))
    (tmp_path / "w.csv").write_text("u,v,w\n" + "\n".join(lines) + "\n")
    given = ("fit", tmp_path / "w.csv", "--out", tmp_path / "run", "--model", "spline-flow", "--set", "layers=1")
    assert monge(*given, "--steps", 20, "--weights", "w")[0] == 0
    seen = {}

    def shown(verdict, path, **material):
        seen.update(material, verdict=verdict)
        return path

    monkeypatch.setattr("monge.report.write", shown)
    assert monge("audit", tmp_path / "run", "-n", 150)[0] in (0, 1, 3)
    for part in ("holdout", "train"):
        x = seen[part].x[:, 0]
        assert 0.1 < float(x.mean()) < 1.0  # (1 - .25) / 1.25 * .8 is meant, and 0 that of all rows
        assert seen[part].weights is None
    (likely,) = [line for line in seen["verdict"].lines if line.name == "log-likelihood"]
    assert abs(likely.value - likely.floor) < 0.3


def test_a_cloud_is_carried_to_another_and_velocities_go_from_fit_to_audit(monge, tmp_path):
    run = tmp_path / "run"
    small = ("--set", "net=Size(widths=(16,), blocks=1)", "--steps", 5, "--out")
    options = ("--model", "flow-matching", "--set", "pairing=transport", "--set", "pool=64", *small)
    code, _, err = monge("fit", "moons?n=300", "--from", "rings?n=200", *options, run)
    assert code == 0, err
    code, _, err = monge("sample", run, "-n", 7, "--nfe", 2, "-o", tmp_path / "s.npy")
    assert code == 0, err
    assert np.load(tmp_path / "s.npy").shape == (7, 2)
    code, _, err = monge("sample", run, "-n", 7, "--alpha", 1, "-o", tmp_path / "t.npy")
    assert code == 2
    assert is_one_line(err)
    code, _, err = monge("fit", "moons", "--from", "rings", "--out", tmp_path / "no", "--steps", 5)
    assert code == 2
    assert "diffusion begins at noise" in err
    code, _, err = monge("fit", "moons?n=600", "--model", "continuous-flow", *small, tmp_path / "ode")
    assert code == 0, err
    code, out, err = monge("audit", tmp_path / "ode", "--rows", 100, "-n", 100)
    assert code in (1, 3), err
    assert "log-likelihood" in out
