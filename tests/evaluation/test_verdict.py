"""The verdict's schema, its table and its decisions."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from monge.errors import BadInput
from monge.evaluation import Evidence, Finding, Line, Verdict, judge
from monge.evaluation.outcomes import outcomes

LINE = Line("energy distance", 0.0625, (0.04, 0.08), 0.06, 0.4, 0.1, "pass", "How far apart the laws are.")
EVIDENCE = Evidence(np.zeros((2, 1, 3)), np.zeros((2, 1, 3)))


def test_dict_has_exactly_the_fixed_keys_and_survives_json():
    verdict = Verdict((LINE,), (replace(LINE, name="coverage", p_value=None, margin=None),), evidence=EVIDENCE)
    values = verdict.to_dict()
    assert list(values) == [
        "status", "defects", "fidelity", "diversity", "memorisation", "likelihood", "denoiser", "posterior", "context"
    ]  # fmt: skip
    keys = ["name", "value", "interval", "floor", "p_value", "margin", "status", "note", "concern", "detail",
            "reference", "p_equivalence", "power", "curves", "excludes",
        "p_adjusted", "growth"]  # fmt: skip
    assert [list(line) for line in values["fidelity"] + values["diversity"]] == [keys, keys]
    assert json.loads(verdict.to_json()) == values
    assert Verdict.from_dict(json.loads(verdict.to_json())) == verdict


def test_json_has_no_nan_and_no_numpy():
    context = {"n": np.int64(3), "share": np.float32(0.5), "bad": math.nan, "list": np.arange(2), (1, 2): (1,)}
    values = json.loads(Verdict(context=context).to_json())["context"]
    assert values == {"n": 3, "share": 0.5, "bad": None, "list": [0, 1], "(1, 2)": [1]}


def test_reading_something_else_says_what_is_missing():
    with pytest.raises(BadInput, match="no fidelity, diversity"):
        Verdict.from_dict({"status": "pass"})
    broken = Verdict((LINE,)).to_dict()
    del broken["fidelity"][0]["floor"]
    with pytest.raises(BadInput, match="floor"):
        Verdict.from_dict(broken)


@pytest.mark.parametrize(
    ("statuses", "whole"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "fail", "undecided"], "fail"),
        (["pass", "undecided"], "undecided"),
        ([], "undecided"),
    ],
)
def test_overall_status(statuses, whole):
    assert Verdict(tuple(replace(LINE, status=status) for status in statuses)).status == whole


def test_table_is_narrow_and_ends_with_the_status_in_words():
    long = replace(
        LINE, name="a name " * 9, value=-123456.789, interval=(-1e-9, 1e12), status="undecided", note="A " * 200
    )
    text = str(Verdict((LINE, long), context={"warnings": ["two rows are the same"]}))
    assert max(map(len, text.splitlines())) <= 110
    assert text.splitlines()[-1].startswith("UNDECIDED")
    assert "Warning: two rows are the same" in text
    columns = [line.index("0.062") for line in text.splitlines() if "0.062" in line]
    assert columns


def finding(value, half, p_value=1e-9, worse="higher", floor=1.0, margin=0.5):
    return Finding("line", value, (value - half, value + half), floor, margin, p_value, worse, "")


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (finding(1.2, 0.2), "pass"),
        (finding(1.4, 0.2), "undecided"),
        (finding(2.0, 0.2), "fail"),
        (finding(2.0, 0.2, p_value=0.2), "undecided"),
        (finding(-9.0, 0.2), "pass"),
        (finding(-9.0, 0.2, worse="lower"), "fail"),
        (finding(9.0, 0.2, worse="lower"), "pass"),
        (finding(9.0, 0.2, worse="both"), "fail"),
        (finding(-9.0, 0.2, worse="both"), "fail"),
        (finding(1.0, 0.2, worse="both"), "pass"),
    ],
)
def test_a_line_fails_only_beyond_margin_and_chance(found, status):
    assert judge([found])[0].status == status


def test_many_lines_need_smaller_p_values():
    lone, harmless = finding(2.0, 0.2, p_value=0.02), finding(1.0, 0.2, p_value=0.5)
    assert judge([lone])[0].status == "fail"
    assert judge([lone, *[harmless] * 4])[0].status == "undecided"


@pytest.mark.parametrize(("so_rare", "status"), [(0.5, "undecided"), (0.001, "pass")])
def test_a_defect_is_not_excluded_beside_a_line_that_failed_as_it_would(so_rare, status):
    seen = {"blur": {"0.5": 0.5, "1.0": 0.99, "2.0": 1.0}}
    sees = replace(LINE, name="power", status="pass", concern="blur", curves=seen, excludes={"blur": 0.001})
    other = replace(LINE, name="levels", status="fail", concern="structure", curves=seen, excludes={"blur": so_rare})
    found = {o.name: o for o in outcomes([sees, other], {"margins": {"blur": 0.1}, "n_compared": (500, 500)})}
    assert found["blur"].status == status
    assert found["blur"].kinds == (("small-scale",) if status == "pass" else ())
    assert found["structure"].status == "fail"
