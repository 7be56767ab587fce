"""The numbers that `monge demo` must reach, read off the run it left behind.

    make demo && .venv/bin/pytest tests/acceptance --run runs/demo

Without `--run` there is nothing to judge, and the tests are skipped.
"""

import json

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC

import monge
from monge.data import load
from monge.evaluation import classifier_two_sample


@pytest.fixture(scope="module")
def run(request):
    folder = request.config.getoption("--run")
    if folder is None:
        pytest.skip("give the folder of a demo with --run")
    return folder


@pytest.fixture(scope="module")
def verdict(run):
    return json.loads((run / "verdict.json").read_text())


@pytest.fixture(scope="module")
def generated(run):
    return torch.from_numpy(np.load(run / "samples.npz", allow_pickle=False)["x"]).round()


def lines(verdict, group):
    return {line["name"]: line for line in verdict[group]}


def test_no_missing_digit_scale_repeat_outlier_or_copy_is_left_possible(verdict):
    """Variance along fine directions, shares of grey levels and a lean to training samples are found: two minutes of
    training do not reach the law."""
    found = {defect["name"]: defect["status"] for defect in verdict["defects"]}
    assert [found[name] for name in ("blur", "repeats", "outliers", "copies")] == ["pass"] * 4
    assert found["region"] != "fail"
    assert found["label"] != "fail"


def test_energy_distance_is_within_twice_its_floor(verdict):
    line = lines(verdict, "fidelity")["energy distance"]
    assert line["value"] <= 2 * line["floor"]


def test_coverage_is_nine_tenths_of_the_floor_s(verdict):
    line = lines(verdict, "diversity")["coverage"]
    assert line["value"] >= 0.9 * line["floor"]


def test_no_copies_are_flagged(verdict):
    assert {"copies", "near copies"} <= set(lines(verdict, "memorisation"))
    assert all(lines(verdict, "memorisation")[name]["status"] != "fail" for name in ("copies", "near copies"))


def test_digits_are_of_the_class_that_was_asked_for(run):
    """By a classifier that learned real digits, and knows those held out of it."""
    train, holdout = load("digits").split(0.3, seed=0)
    classifier = SVC(gamma=0.001, C=10).fit(train.x.flatten(1).numpy(), train.y.numpy())
    assert classifier.score(holdout.x.flatten(1).numpy(), holdout.y.numpy()) > 0.97
    asked = torch.arange(1000) % 10
    x = monge.load(run).sample(1000, seed=1, label=asked, show=False)
    right = torch.from_numpy(classifier.predict(x.flatten(1).numpy())) == asked
    print(f"asked class: {right.double().mean():.3f}")
    assert right.double().mean() >= 0.95


@pytest.mark.parametrize("real", ["all", "holdout"])
def test_classifiers_hardly_tell_generated_from_real(generated, real):
    """Logistic regression at most 0.60, a forest of 300 trees at most 0.70, cross-validated, equal numbers."""
    whole = load("digits")
    x = whole.x if real == "all" else whole.split(0.3, seed=0)[1].x
    logistic = classifier_two_sample(generated[: len(x)], x)
    forest = classifier_two_sample(
        generated[: len(x)], x, classifier=RandomForestClassifier(300, random_state=0, n_jobs=-1)
    )
    print(f"{real}: logistic {logistic.accuracy:.3f}, forest {forest.accuracy:.3f}")
    assert logistic.accuracy <= 0.60
    assert forest.accuracy <= 0.70
