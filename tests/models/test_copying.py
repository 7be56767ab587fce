"""The copying clock: what it sees, and that the training does not notice it."""

import csv

import pytest
import torch

from monge import report
from monge.data import Samples
from monge.errors import BadInput
from monge.models import GAN, CopyingClock, Diffusion, RealNVP
from monge.models.copying import onset
from monge.nets import Size

ROWS, NEW = 24, 24


def data() -> torch.Tensor:
    return 3 * torch.randn(ROWS + NEW, 6, generator=torch.manual_seed(0)) + 1


def fitted(out=None, **options):
    given = {"steps": 1200, "validation": 0.5, "patience": 10**6, "batch_size": 64, "show": False, "out": out}
    return Diffusion(net=Size((64,))).fit(data(), **(given | options))


def looks(out):
    with (out / "log.csv").open() as file:
        return [row for row in csv.DictReader(file) if row.get("samples/copies")]


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    out = tmp_path_factory.mktemp("watched") / "run"
    return fitted(out, watch_copies=True), out


def test_copies_come_and_the_gap_grows(watched):
    rows = looks(watched[1])
    assert [int(row["step"]) for row in rows] == [50, 71, 100, 141, 200, 283, 400, 566, 800, 1131]
    copies = [float(row["samples/copies"]) for row in rows]
    assert copies[0] < 0.05
    assert copies[-1] > 0.5
    gaps = [name for name in rows[0] if name.endswith("denoising gap")]
    assert len(gaps) == 4
    lowest = [float(row[gaps[0]]) for row in rows]
    assert lowest[0] < 0.2
    assert lowest[-1] > 0.6


def test_the_training_does_not_notice():
    watched, alone = fitted(steps=150, watch_copies=True), fitted(steps=150)
    for name, value in watched.state_dict().items():
        torch.testing.assert_close(value, alone.state_dict()[name], rtol=0, atol=0)


def test_patience_ends_where_copies_are_found_twice(tmp_path, capsys):
    model = fitted(tmp_path / "run", watch_copies=True, patience=1000, show=True)
    rows = looks(tmp_path / "run")
    assert all(float(row["samples/copies"]) > 0.05 for row in rows[-2:])
    assert "samples are copies of what was learned from" in capsys.readouterr().err
    x = model.units.forward(model.sample(128, seed=0))
    clock = _clock(model)
    assert float(clock._copied(x).mean()) < float(rows[-1]["samples/copies"])


def _clock(model):
    order = torch.arange(ROWS + NEW)
    from monge.data import load

    return CopyingClock(model, load(data()), order[:ROWS], order[ROWS:], 0, lambda look: look())


def test_a_copy_is_a_row_that_was_learned_from(watched):
    clock = _clock(watched[0])
    scaled = watched[0].units.forward(data())
    assert clock._copied(scaled[:ROWS]).all()
    assert not clock._copied(scaled[ROWS:]).any()
    assert clock._more(torch.ones(10))
    assert not clock._more(torch.tensor([1.0] + 40 * [0.0]))
    assert [step for step in range(300) if clock.due(step)] == [50, 71, 100, 141, 200, 283]


@pytest.mark.parametrize("family", [RealNVP, lambda: GAN(critic_steps=1)])
def test_families_that_do_not_denoise_tell_copies_alone(tmp_path, family):
    family().fit(data(), steps=71, batch_size=16, watch_copies=True, show=False, out=tmp_path / "run")
    (first, _) = looks(tmp_path / "run")
    assert first["new rows/copies"] == "0.0"
    assert not any("denoising gap" in name for name in first)


def test_a_run_goes_on_with_its_clock(tmp_path):
    fitted(tmp_path / "run", watch_copies=True, steps=80)
    fitted(tmp_path / "run", watch_copies=True, steps=150, resume=True)
    assert [row["step"] for row in looks(tmp_path / "run")] == ["50", "71", "100", "141"]


def test_a_closed_form_has_no_clock():
    class Closed(RealNVP):
        def defaults(self, samples):
            return None

    with pytest.raises(BadInput, match="closed form"):
        Closed().fit(data(), watch_copies=True, show=False)


def test_the_clock_tells_when_copies_come_and_before_they_do(watched):
    rows = looks(watched[1])
    found = onset(rows)
    copies = {float(row["step"]): float(row["samples/copies"]) for row in rows}
    assert found.interval[0] <= found.step <= found.interval[1]
    assert copies[max(step for step in copies if step <= found.step)] <= 0.05
    assert copies[min(step for step in copies if step >= found.step)] >= 0.05
    assert not found.is_forecast
    before = [row for row in rows if float(row["step"]) < found.step]
    told = onset(before)
    assert told.is_forecast
    assert told.interval[0] / 2 < found.step < 2 * told.interval[1]
    assert f"likely to come at about step {told.step:,.0f}" in told.words(24)
    assert "nothing points to any" in onset(rows[:1]).words(24)
    assert "48 rows in place of 24" in told.words(24)
    with pytest.raises(BadInput, match="watch_copies"):
        onset([{"step": "10", "loss": "1"}])


def test_the_report_shows_the_clock(watched):
    panels = [axes.get_ylabel() for axes in report.loss(watched[1] / "log.csv").axes]
    assert panels == ["loss", "copies", "copying", "denoising gap"]


class Echo:
    """A model that draws what it learned from, in turn, or new rows."""

    labels, denoises = None, False

    def __init__(self, rows):
        self.rows, self.units = rows, self

    def forward(self, x):
        return x

    def sample(self, n, seed):
        return self.rows.repeat(-(-n // len(self.rows)), 1)[:n]


def test_repeated_rows_do_not_hide_copies():
    x = torch.randn(60, 3, generator=torch.manual_seed(0))
    learned, new = x[:30].repeat(2, 1), x[30:]
    clock = CopyingClock(
        Echo(x[:30]), Samples(torch.cat([learned, new])), torch.arange(60), torch.arange(60, 90), 0, lambda f: f()
    )
    assert clock()["samples/copies"] == 1
    assert clock.found == 1


@pytest.mark.parametrize("learned", [90, 100])
@pytest.mark.parametrize("d", [1, 2])
def test_new_rows_are_not_said_to_be_copies(d, learned):
    said = 0
    for seed in range(40):
        x = torch.randn(100 + 128, d, generator=torch.manual_seed(seed))
        rows = torch.arange(100).split([learned, 100 - learned])
        clock = CopyingClock(Echo(x[100:]), Samples(x[:100]), *rows, 0, lambda f: f())
        said += not onset([{"step": "50", **{k: str(v) for k, v in clock().items()}}]).is_forecast
    assert said <= 1


def test_a_game_has_smaller_batches_where_rows_are_kept_aside():
    GAN().fit(torch.randn(100, 2, generator=torch.manual_seed(0)), steps=2, watch_copies=True, show=False)


def test_gaps_are_of_rows_as_they_come():
    x = torch.randn(60, 3, generator=torch.manual_seed(0))
    clock = CopyingClock(Echo(x), Samples(x), torch.arange(40), torch.arange(40, 60), 0, lambda f: f())
    torch.testing.assert_close(clock.denoised, x[:40])  # sorted ones, few of many, would be of one corner
