import math
import re
from html.parser import HTMLParser
from typing import NamedTuple

import numpy as np
import pyarrow
import pytest
import torch

from monge import report
from monge.data import Columns, Samples, load
from monge.errors import BadInput
from monge.evaluation import LINES, Evidence, Line, Verdict, audit
from monge.report.looks import Look, rows
from monge.report.page import Gauge
from monge.report.tables import columns

EVENTS = {
    "gray": (1, 8, 8),
    "colour": (3, 8, 8),
    "field": (2, 16, 16),
    "line field": (1, 32),
    "volume": (1, 4, 4, 4),
    "plane": (2,),
    "point": (1,),
    "vector": (4,),
    "long vector": (9,),
}


class Walk(NamedTuple):
    sigma: torch.Tensor
    y: torch.Tensor
    x_hat: torch.Tensor


class Shrink:
    def denoise(self, y, sigma):
        return y / (1 + sigma**2)


def line(name="energy distance", value=0.02, interval=(0.01, 0.03), status="pass", **options):
    given = {"floor": 0.02, "p_value": 0.4, "margin": 0.05, "note": "How far <apart>."} | options
    return Line(name, value, interval, status=status, **given)


def draw(event, n=40, seed=0):
    return torch.randn(n, *event, generator=torch.Generator().manual_seed(seed))


def verdict(event, *lines):
    x, y, t = (draw(event, 32, seed).numpy() for seed in range(3))
    far = np.linspace(0.5, 2, 32)
    context = {"n_generated": 2000, "n_holdout": 359, "n_train": 1438, "seed": 0, "warnings": ["mind the <gap>"]}
    return Verdict(fidelity=lines or (line(),), context=context, evidence=Evidence(x, y, t, far, x, t, far))


class Page(HTMLParser):
    """Headings, references to elsewhere, and whether tags close."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.links, self.open, self._in = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href") and value[0] != "#"]
        if tag not in ("meta", "br", "img", "path", "line", "rect", "circle", "image", "use"):
            self.open.append(tag)
        self._in = tag

    def handle_endtag(self, tag):
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self._in == "h2" and data.strip():
            self.headings.append(data.strip())


@pytest.fixture
def page(tmp_path):
    def write(*arguments, **options):
        return report.write(*arguments, path=tmp_path / "report.html", force=True, **options).read_text()

    return write


def everything(event):
    x = draw(event)
    log = [{"step": str(10 * i), "seconds": "1", "lr": "1e-3", "loss": str(1 / i)} for i in range(1, 30)]
    y = torch.stack([x * s for s in (80.0, 1.0, 0.01)])
    return {
        "samples": x,
        "holdout": Samples(draw(event, seed=1), kind="vectors" if len(event) == 1 else "fields"),
        "train": draw(event, seed=2),
        "denoising": report.denoising(Shrink(), x[:2], sigma=[0.5, 1.0]),
        "trace": Walk(torch.tensor([80.0, 1.0, 0.01]), y, y / 2),
        "log": log,
        "provenance": {"commands": ["monge demo --seed 0"], "data fingerprint": "abc", "split": {"fraction": 0.2}},
    }


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_page_shows_everything_there_is_and_asks_nothing_of_a_network(page, event):
    text = page(verdict(event), **everything(event))
    found = Page(text)
    assert found.open == []
    expected = ["What was measured", "Generated beside real", "Training", "How to make it again"]
    expected += ["Is it copying?", "From noise to samples"] if event != (1,) else []
    expected += ["Denoising"] if len(event) > 1 else []
    expected += ["Power spectrum"] if len(event) > 1 and min(event[1:]) >= 16 else []
    assert sorted(found.headings) == sorted(expected)
    assert all(link.startswith("data:image/png;base64,") for link in found.links)
    assert "<script" not in text
    assert not re.search(r"url\(\s*['\"]?http|@import", text)
    assert "monge demo --seed 0" in text


@pytest.mark.parametrize("event", [(1, 8, 8), (2,), (3,)])
def test_the_verdict_alone_is_enough(page, event):
    found = Page(page(verdict(event)))
    assert "Generated beside real" in found.headings
    assert not {"Denoising", "Training", "From noise to samples"} & set(found.headings)


def test_a_verdict_without_evidence_has_no_pictures(page):
    text = page(Verdict.from_dict(verdict((1, 8, 8)).to_dict()))
    assert "<figure" not in text
    assert "energy distance" in text


def test_words_numbers_and_warnings_are_escaped_and_shown(page):
    text = page(verdict((2,), line("coverage", 0.5, (0.4, 0.6), "fail", floor=0.95)), title="a <b>")
    assert "a &lt;b&gt;" in text
    assert "How far &lt;apart&gt;." in text
    assert "mind the &lt;gap&gt;" in text
    assert "2,000 generated · 359 held out · 1,438 for training" in text
    assert "The structure of samples is wrong (coverage)" in text


def test_numbers_that_are_not_finite_are_left_out(page):
    text = page(
        verdict((2,), line(value=math.nan, interval=(math.nan, 1.0), status="undecided", p_value=None, margin=None))
    )
    assert 'class="value" cx="' not in text.split("<tbody>")[1]
    assert "nan" not in text.split("<tbody>")[1].split("</tbody>")[0].lower()


def test_same_input_gives_the_same_page(page):
    first, second = (page(verdict((2,)), **everything((2,))) for _ in range(2))
    cut = re.compile(r"Written by monge.*")
    assert cut.sub("", first) == cut.sub("", second)


def test_an_existing_file_is_kept_unless_forced(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(BadInput, match="exists already"):
        report.write(verdict((2,)), path)
    assert path.read_text() == "mine"
    report.write(verdict((2,)), path, force=True)
    assert "<!doctype html>" in path.read_text()


def test_gauge_keeps_order_and_opens_the_harmless_side():
    g = Gauge.of(line(value=1.0, interval=(0.9, 1.2), floor=1.1, margin=0.05, status="undecided"))
    assert g.low < g.value < g.band[0] < g.floor < g.band[1] < g.high
    assert min(g[:4]) >= 0
    assert max(g[:4]) <= 100
    better = Gauge.of(line(value=0.1, interval=(0.05, 0.2), floor=1.0, margin=0.1, status="pass"))
    assert better.band[0] == better.low
    assert Gauge.of(line(value=1.0, interval=(1.0, 1.0), floor=1.0, margin=None)).value == 7.0


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("pass", "Nothing was found. All lines lie within their margins"),
        ("fail", "Found: the structure of samples is wrong (a; b; c)."),
        ("undecided", "Nothing was found, but not all is excluded. A is neither within its margin"),
    ],
)
def test_reason_names_the_lines(status, words):
    assert words in report.reason(Verdict(fidelity=tuple(line(name, status=status) for name in "abcdef")))


def test_what_was_found_excluded_and_left_open_is_told_by_defect(page):
    sees = {"curves": {"cluster": {"0.5": 0.4, "1.0": 0.9}}, "power": 0.9, "margin": 0.1, "reference": "cluster"}
    lines = (
        line("regions", status="pass", concern="region", excludes={"cluster": 0.01}, **sees),
        line("repeats", status="fail", concern="repeats", detail="many"),
        line("outliers", status="undecided", concern="outliers", curves={"outliers": {"1.0": 0.3}}, power=0.3),
    )
    found = Verdict(fidelity=lines, context={"margins": {"mass": 0.05, "repeats": 0.05, "outliers": 0.01}})
    assert [(d.name, d.status) for d in found.defects] == [
        ("region", "pass"),
        ("repeats", "fail"),
        ("outliers", "undecided"),
    ]
    assert report.reason(found) == "Found: samples are repeated (repeats: many)."
    assert lines[2].blind
    text = page(found)
    assert "1% outliers: would have been seen with a chance of 30% only" in text
    assert "5% of the mass missing" in text
    assert "What would have been seen" not in text  # there are no samples to show anything beside


def test_real_and_generated_share_one_scale():
    look = Look.of(Samples(torch.zeros(3, 1, 8, 8), kind="images", limits=(0.0, 16.0), quantum=1.0))
    assert (look.low, look.high, look.colours) == (0.0, 16.0, "gray")
    np.testing.assert_allclose(look.pixels(np.full((1, 8, 8), 16.0))[..., :3], 1.0)
    np.testing.assert_allclose(look.pixels(np.full((1, 8, 8), -5.0))[..., :3], 0.0)
    fields = Look.of(3.0 + draw((1, 8, 8)))
    assert fields.kind == "fields"
    assert fields.low + fields.high == pytest.approx(2 * float((3.0 + draw((1, 8, 8))).mean()), rel=1e-5)


def test_rows_of_samples_are_read_evenly_and_not_all():
    class Counted(Samples):
        def batch(self, indices):
            assert len(indices) == 5
            return super().batch(indices)

    x = torch.arange(101.0)[:, None]
    np.testing.assert_array_equal(rows(Counted(x), 5)[:, 0], [0, 25, 50, 75, 100])


def test_image_grid_draws_the_pixels_it_was_given():
    x = np.random.default_rng(0).integers(0, 17, (4, 1, 8, 8)).astype(np.float32)
    figure = report.image_grid(x, columns=2, look=Look(0.0, 16.0, "images"))
    mosaic = figure.axes[0].images[0].get_array()
    assert mosaic.shape == (17, 17, 4)
    np.testing.assert_allclose(mosaic[9:, :8, 0], x[2, 0] / 16, atol=1 / 128)
    assert (mosaic[8, :, 3] == 0).all()


def test_denoising_adds_the_noise_it_says():
    x = torch.zeros(50, 1, 8, 8) + torch.arange(50.0)[:, None, None, None]
    strip = report.denoising(Shrink(), x, sigma=[0.5, 2.0], seed=1)
    spread = (strip.noisy - x).std(dim=(1, 2, 3, 4))
    torch.testing.assert_close(spread, strip.sigma, rtol=5 / np.sqrt(2 * 3200), atol=0)
    torch.testing.assert_close(strip.denoised[1], Shrink().denoise(strip.noisy[1], 2.0))
    again = report.denoising(Shrink(), x, sigma=[0.5, 2.0], seed=1)
    torch.testing.assert_close(again.noisy, strip.noisy, rtol=0, atol=0)


def test_loss_draws_a_log_file_up_to_the_cut(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,seconds,lr,loss\n10,1,0.1,2.0\n20,2,0.1,1.0\n30,3\n")
    line = report.loss(path).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xydata(), [[10, 2], [20, 1]])
    path.write_text("step,seconds,lr,loss\n")
    with pytest.raises(BadInput, match="no rows"):
        report.loss(path)


def test_spectrum_of_white_noise_is_flat():
    x = draw((1, 32, 32), 200)
    real, generated = report.spectrum(x, 2 * x).axes[0].lines
    # power of white noise over m independent sites averages 1 with s.d. sqrt(2 / m); each ring has at least 4 of them
    np.testing.assert_allclose(real.get_ydata(), 1.0, atol=5 * np.sqrt(2 / (4 * 200)))
    np.testing.assert_allclose(generated.get_ydata(), 4 * real.get_ydata(), rtol=1e-6)


def test_neighbours_refuses_unequal_numbers():
    with pytest.raises(BadInput, match="give as many"):
        report.neighbours(draw((2,), 3), draw((2,), 4), np.ones(3))


def test_numbers_of_a_game_have_panels_of_their_own():
    log = [
        {"step": str(k), "a/lr": "1", "b/lr": "1", "a": "-1.0", "b": "2", "a/gradient": "1", "b/gradient": "2"}
        | {"b/coverage": "0.5" if k == 2 else "", "a/accuracy": ".9"}
        for k in range(1, 4)
    ]
    figure = report.loss(log)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "gradient", "coverage", "accuracy"]
    gradients = figure.axes[1].get_legend_handles_labels()[1]
    assert gradients == ["a", "b"]
    assert list(figure.axes[2].lines[0].get_xdata()) == [2.0]


def test_a_table_is_shown_by_its_columns_and_its_cells(tmp_path):
    g = np.random.default_rng(0)
    n = 700
    job = np.array(["clerk", "<smith>"])[(g.random(n) < 0.4).astype(int)]
    cells = {
        "pay": [f"${v:,.2f}" for v in g.gamma(2, 3000, n)],
        "day": np.datetime64("2024-01-01") + g.integers(0, 300, n),
        "job": job,
        "age": pyarrow.array(np.where(g.random(n) < 0.1, np.nan, g.normal(40, 9, n)), from_pandas=True),
    }
    people = load(pyarrow.table(cells), missing="learn", name="people")
    real, mine, train = (people.take(range(*part)) for part in ((0, 200), (200, 400), (400, 700)))
    verdict = audit(mine, holdout=real, train=train, lines=[line for line in LINES if line.name == "repeats"])
    page = report.write(verdict, tmp_path / "r.html", samples=mine.x, holdout=real, train=train).read_text()
    for name in ("pay", "day", "job", "age (", "% missing)", "$", "2024-", "&lt;smith&gt;", "nearest in training"):
        assert name in page
    assert "<smith></td>" not in page
    assert "job=" not in page.split("Generated beside real")[1].split("How to make")[0]


def test_a_column_of_few_values_far_apart_has_few_bars():
    code = Columns.fit(pyarrow.table({"a": [0, 10**10] * 20, "b": np.arange(40) / 8}), "t", derive=False)
    x = np.column_stack([[0.0, 1e10] * 20, np.arange(40) / 8])
    assert len(columns(code, x, x).axes[0].patches) < 100
