"""What the verdict promises: exchangeable sides, exact p-values, and nothing claimed that was not planted."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import binom

from monge.data import Samples
from monge.densities import Phi4
from monge.errors import BadInput
from monge.evaluation import LINES, Margins, audit, plan
from monge.evaluation.lines.copies import _once_each
from monge.evaluation.missing import weights
from monge.evaluation.outcomes import needs
from monge.evaluation.pool import Pool
from monge.evaluation.statistics.repeats import more_repeats, same
from monge.evaluation.statistics.resampling import permutation_p_value
from monge.samplers import wolff


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def named(*names):
    return [line for line in LINES if line.name in names]


def by_name(verdict):
    return {line.name: line for line in verdict.lines}


def outcome(verdict, name):
    return next(found for found in verdict.defects if found.name == name)


@pytest.fixture(scope="module")
def normal():
    """The verdict of 6-D normal rows, with a training set."""
    return audit(draw(600, 6), draw(600, 6, seed=1), draw(600, 6, seed=2))


def test_training_rows_serve_copies_alone(normal):
    other = audit(draw(600, 6), draw(600, 6, seed=1), 5 + 3 * draw(300, 6, seed=3))
    for name in ("fidelity", "diversity"):
        mine, theirs = ([(line.value, line.p_value) for line in getattr(v, name)] for v in (normal, other))
        assert mine == theirs
    assert other.memorisation != normal.memorisation


def test_a_model_fitted_to_few_rows_is_judged_by_others():
    """A Gaussian fitted to 100 rows is not their law: what fails must not depend on rows that it was fitted to."""
    train = draw(60, 12, seed=5)
    turn = torch.linalg.cholesky(torch.cov(train.T))
    x = train.mean(0) + draw(1500, 12, seed=6) @ turn.T
    assert audit(x, draw(1500, 12, seed=7), train, lines=named("Frechet distance", "variance")).status == "fail"


def test_power_grows_with_the_size_of_each_defect(normal):
    for line in normal.lines:
        for defect, curve in line.curves.items():
            powers = list(curve.values())
            assert all(b >= a - 0.1 for a, b in itertools.pairwise(powers)), (line.name, defect, curve)


def test_outliers_are_found_the_more_surely_the_more_there_are():
    statistics = []
    for share in (0.02, 0.1, 0.5):
        x = draw(400, 8)
        x[: int(400 * share)] *= 3
        line = by_name(audit(x, draw(400, 8, seed=1), lines=named("outliers")))["outliers"]
        statistics.append(line.p_value)
    assert statistics[1] == statistics[2] == min(statistics)
    assert statistics[1] < 0.005  # as few as one line needs


@pytest.mark.parametrize("clusters", ["pairs on one side", "atoms of the law"])
def test_repeats_keep_their_level_where_rows_come_in_clusters(clusters):
    draws, p_values = np.random.default_rng(0), []
    for _ in range(400):
        if clusters == "atoms of the law":
            mine, real = (draws.multinomial(400, np.full(150, 1 / 150)) for _ in "xy")
        else:
            mine, real = np.zeros((2, 80), int)
            mine[: draws.poisson(20)] = 2
            real[40 : 40 + draws.poisson(20)] = 2
        p_values.append(more_repeats(mine, real))
    for level in (0.05, 0.0025):
        assert sum(p <= level for p in p_values) <= binom.ppf(0.999, 400, level)
    assert more_repeats(np.full(20, 2), np.zeros(20, int)) == pytest.approx(2.0**-20)


def test_a_training_row_that_is_copied_again_and_again_is_one():
    generator = np.random.default_rng(0)
    one, none = np.repeat([7, -1], [50, 50]), np.full(100, -1)
    assert _once_each(one, none, 100, 100, generator) == pytest.approx(0.5)
    many = np.where(np.arange(100) < 12, np.arange(100), -1)
    assert _once_each(many, none, 100, 100, generator) < 0.001


def test_classes_of_equal_rows_are_joined_by_small_steps():
    rows = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1e-8, 0.0], [2e-8, 0.0], [1.0, 1.0]])
    assert same(rows, 1.5e-8).tolist() == [0, 1, 0, 0, 1]
    assert same(rows, 0.0).tolist() == [0, 1, 2, 3, 1]


def test_ties_that_rounding_breaks_are_ties():
    null = torch.tensor([1.0, 1.0, 1.0, 0.0])
    assert permutation_p_value(1.0 + 1e-7, null) == 0.2
    assert permutation_p_value(1.0 + 1e-7, null, 1e-5) == 0.8


@pytest.mark.parametrize("law", ["sparse", "heavy"])
def test_real_rows_of_ugly_laws_do_not_fail(law):
    def rows(n, seed):
        g = torch.Generator().manual_seed(seed)
        if law == "sparse":
            return (torch.rand(n, 100, generator=g) < 0.004).float()
        return torch.tan(math.pi * (torch.rand(n, 8, generator=g) - 0.5))

    statuses = [audit(rows(200, s), rows(200, 100 + s), rows(300, 200 + s), seed=s).status for s in range(2)]
    assert statuses.count("fail") <= 1


def test_what_a_slab_lacks_is_not_excluded():
    x = draw(3600, 5)
    x = x[x[:, 2].abs() > 0.063][:3000]
    verdict = audit(x, draw(3000, 5, seed=1), lines=named("slices"))
    found = outcome(verdict, "region")
    assert "slab across a column" not in found.kinds
    whole = outcome(audit(draw(3000, 5), draw(3000, 5, seed=1), lines=named("slices")), "region")
    assert whole.status != "fail"
    assert "slab across a column" in whole.kinds


def test_a_neighbourhood_is_the_rows_nearest_to_one_of_them():
    x = draw(300, 1, 3)
    weigh = weights(Pool(x, None, 0), "neighbourhood", 0.1, [x.flatten(1), x.flatten(1) * 2])
    for row in weigh[:4]:
        lost = torch.nonzero(row == 0)[:, 0]
        assert len(lost) == 30
        apart = torch.cdist(x.flatten(1), x.flatten(1)[lost])
        assert any(set(apart[:, i].argsort()[:30].tolist()) == set(lost.tolist()) for i in range(30))


def test_variance_is_looked_for_in_the_data_s_own_units_too():
    """Four directions that mix the largest of twenty columns: standardised, they are four of twenty like others."""
    scale = torch.cat([torch.full((5,), 100.0), torch.ones(15)])
    x, real = (draw(1200, 20, seed=s) * scale for s in (0, 1))
    x[:, :5] *= 0.85
    line = by_name(audit(x, real, lines=named("variance")))["variance"]
    assert line.status == "fail"
    assert "in their own units lower" in line.detail


def test_units_change_nothing():
    x, real, train = draw(300, 4), draw(300, 4, seed=1).double(), draw(300, 4, seed=2)
    first, second = (
        audit(s * x.double() + m, s * real + m, s * train.double() + m, lines=named("regions", "variance", "copies"))
        for s, m in ((1.0, 0.0), (1e-9, 0.0))
    )
    for a, b in zip(first.lines, second.lines, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-4, abs=1e-6)
        assert a.p_value == pytest.approx(b.p_value, abs=2e-3)


def test_gaussian_long_waves_are_seen_where_those_of_the_field_are_not():
    """phi^4 near its transition: its mean has two humps; a Gaussian one of the same variance has the same spectrum."""
    chains = wolff(Phi4((8, 8), 0.27, 0.02), chains=40, draws=60, thin=10, show=False)
    x = chains.x.transpose(0, 1).reshape(-1, 1, 8, 8).float()
    mine, real = x[:1000], x[1000:2000]
    mean = mine.mean((1, 2, 3), keepdim=True)
    wrong = mine - mean + mean.std() * draw(1000, 1, 1, 1)
    lines = named("averages", "power spectrum")
    verdict = audit(wrong, real, lines=lines)
    assert by_name(verdict)["averages"].status == "fail"
    assert outcome(verdict, "waves").words.startswith("averages over fields are wrong")
    assert audit(mine, real, lines=lines).status != "fail"


def labelled(n, seed, turn=0):
    y = torch.randint(3, (n,), generator=torch.Generator().manual_seed(seed))
    x = 4 * torch.nn.functional.one_hot(y, 3).float() + draw(n, 3, seed=seed)
    return Samples(x, (y + turn) % 3, kind="vectors", classes=("boot", "coat", "shoe"))


def test_labels_that_were_given_are_read_and_others_are_not_claimed():
    lines = named("labels", "labels given")
    verdict = audit(labelled(400, 0, turn=1), labelled(400, 1), lines=lines)
    assert outcome(verdict, "labels").status == "fail"
    right = audit(labelled(400, 0), labelled(400, 1), lines=lines)
    assert right.status != "fail"
    unread = audit(labelled(400, 0).x, labelled(400, 1), lines=lines)
    assert [line.name for line in unread.lines] == ["labels"]
    assert "as recognised" in outcome(unread, "label").words
    assert any("labels of generated samples were not read" in warning for warning in unread.context["warnings"])


def test_labels_are_joined_by_name():
    mine = labelled(400, 0)
    order = torch.tensor([2, 0, 1])  # the class of each code in the other order of names
    renamed = Samples(mine.x, order[mine.y], kind="vectors", classes=("coat", "shoe", "boot"))
    assert audit(renamed, labelled(400, 1), lines=named("labels given")).status != "fail"


@pytest.mark.parametrize(("value", "words"), [(1e6, "beyond the data's limits"), (-7.0, "beyond the data's limits")])
def test_what_is_beyond_the_limits_of_integers_is_judged_as_it_is(value, words):
    bits = (draw(400, 3) > 0).float()
    real = Samples((draw(400, 3, seed=1) > 0).float(), kind="vectors", quantum=1.0, limits=(0.0, 1.0))
    verdict = audit(torch.where(bits == 1, value, bits), real)
    assert verdict.status == "fail"
    assert any(words in warning for warning in verdict.context["warnings"])


def test_what_is_off_the_grid_is_told_before_it_is_rounded():
    real = Samples((draw(400, 3, seed=1) > 0).float(), kind="vectors", quantum=1.0, limits=(0.0, 1.0))
    verdict = audit((draw(400, 3) > 0).float() + 0.2, real, lines=named("support"))
    assert verdict.status != "fail"
    assert any("100% of the generated values are off the grid" in told for told in verdict.context["warnings"])


def test_a_holdout_that_is_a_part_of_train_is_refused():
    train = draw(500, 3)
    with pytest.raises(BadInput, match="120 of 120 held-out rows are in the training set too"):
        audit(draw(200, 3, seed=1), train[:120], train)
    with pytest.raises(BadInput, match="100 of 120 held-out rows"):
        audit(draw(200, 3, seed=1), torch.cat([train[:100], draw(20, 3, seed=2)]), train)
    coins = [
        (draw(n, 3, seed=n) > 0).float() for n in (300, 200, 500)
    ]  # every one of eight rows is in train, many times
    assert audit(*coins).status != "fail"


def test_a_column_that_is_constant_in_real_rows_must_be_so_in_generated_ones():
    x, real = (torch.cat([draw(300, 2, seed=s), torch.full((300, 1), 3.0)], 1) for s in (0, 1))
    assert audit(x, real).status != "fail"
    x[:, 2] += 0.1
    verdict = audit(x, real)
    assert by_name(verdict)["support"].status == "fail"
    assert "column 3" in by_name(verdict)["support"].detail


def test_fewer_rows_than_shaping_needs_are_refused():
    with pytest.raises(BadInput, match="holdout has 60 rows of 2 values; the audit needs at least 100"):
        audit(draw(200, 2), draw(60, 2))


def test_few_values_that_hardly_vary_are_told_in_numbers_that_mean_something():
    x, real = (
        torch.cat([draw(300, 1), torch.zeros(300, 1)], 1),
        torch.cat([draw(300, 1, seed=1), torch.zeros(300, 1)], 1),
    )
    real[0, 1] = 1.0
    x[:150, 1] = 1.0
    details = [line.detail for line in audit(x, real).lines]
    assert not any("more than 100 sd" in detail for detail in details)


def test_the_rows_that_would_decide_are_told():
    margins, turn = Margins(variance=0.1), torch.full((8, 8), 0.9) + 0.1 * torch.eye(8)  # one direction leads
    ratios = []
    for seed in range(0, 20, 2):
        few, many = (
            audit(*(draw(n, 8, seed=s) @ turn for s in (seed, seed + 1)), margins=margins, lines=named("variance"))
            for n in (800, 3200)
        )
        first, second = (outcome(verdict, "variance").needed.get("leading directions") for verdict in (few, many))
        if first is not None and second is not None:  # neither excluded it
            assert first > 3200
            ratios.append(math.log(first / second))
            assert "would decide" in outcome(few, "variance").words
    assert len(ratios) >= 3
    # the same need, told from a fourth of the rows: one such ratio lies within e^.42 of 1
    assert abs(sum(ratios) / len(ratios)) < 4 * 0.42 / len(ratios) ** 0.5
    dull = dataclasses.replace(few.lines[0], curves={"blur": {"1.0": 0.01, "2.0": 0.01}}, growth={})
    assert needs(dull, "blur", 1000) is None


def test_a_plan_tells_before_there_is_a_generator_what_would_be_seen():
    data = draw(800, 6)
    found = plan(data, seed=1)
    powers = {need.kind: need.power for need in found.needs}
    assert powers["samples"] > 0.95  # repeats
    more = {need.kind: need.power for need in plan(data, n=100_000, seed=1).needs}
    assert all(more[kind] >= power for kind, power in powers.items())
    with pytest.raises(BadInput, match="a plan needs 200 held-out rows, and there are 150"):
        plan(draw(150, 2))


def test_several_runs_share_the_level():
    x, real = draw(300, 3) + 0.22, draw(300, 3, seed=1)
    lines = named("energy distance")
    strict = audit(x, real, lines=lines, level=1e-4)
    assert audit(x, real, lines=lines).status == "fail"
    assert by_name(strict)["energy distance"].p_value > 1e-4 / 3 or strict.status == "fail"
    assert strict.context["permutations"] > 1e4


def test_told_power_is_not_that_of_a_pool_that_repeats_itself():
    """Few real rows, drawn again and again, differ more than new ones do; and of a region they show next to nothing."""
    for n, m in ((200, 250), (1000, 150)):
        curves = audit(draw(n, 4), draw(m, 4, seed=1), lines=named("slices")).lines[0].curves
        assert all(curve["1.0"] < 0.35 for curve in curves.values())  # found in 1 of 10


@pytest.mark.parametrize(("groups", "size"), [(12, 5), (10, 4), (5, 7)])
def test_repeats_that_come_in_groups_are_not_excluded(groups, size):
    x = draw(600, 4)
    for i in range(groups):
        x[size * i : size * i + size] = x[size * i].clone()
    verdict = audit(x, draw(750, 4, seed=1), lines=named("repeats"))
    assert outcome(verdict, "repeats").status != "pass"
    assert outcome(audit(draw(600, 4), draw(750, 4, seed=1), lines=named("repeats")), "repeats").status == "pass"


def test_real_rows_that_are_as_near_as_each_other_say_nothing_of_training():
    bits = [(draw(150, 1, 5, 5, seed=s) > 0).float() for s in range(3)]
    verdict = audit(*bits, lines=named("closer to training", "copies"))
    assert by_name(verdict)["closer to training"].p_value is None
    assert verdict.status != "fail"


def test_training_rows_that_are_equal_are_one_for_copies():
    g = torch.Generator().manual_seed(0)
    rows = [torch.poisson(torch.tensor([0.1, 1.0, 2.0]).repeat(n, 1), generator=g) for n in (150, 1000, 2000)]
    line = by_name(audit(*rows, lines=named("copies")))["copies"]
    assert line.p_value > 0.01


def test_columns_are_joined_by_name():
    x, real = draw(300, 2) * torch.tensor([1.0, 9.0]), draw(300, 2, seed=1) * torch.tensor([9.0, 1.0])
    mine = Samples(x, kind="vectors", columns=("a", "b"))
    lines = named("one coordinate at a time")
    assert audit(mine, Samples(real, kind="vectors", columns=("b", "a")), lines=lines).status != "fail"
    with pytest.raises(BadInput, match="generated has columns a, b, holdout c, d"):
        audit(mine, Samples(real, kind="vectors", columns=("c", "d")), lines=lines)


def test_one_huge_value_does_not_make_the_order_of_rows_matter():
    x, real = draw(300, 3).double(), draw(300, 3, seed=1).double()
    x[0, 0] = 1e12
    first, second = (audit(rows, real, lines=named("slices")) for rows in (x, x.flip(0)))
    assert first.lines[0].p_value == second.lines[0].p_value


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lines": []}, "none of the lines is for these samples"),
        ({"lines": named("copies")}, "none of the lines is for these samples"),
        ({"level": 0.0}, "level=0: give a chance between 0 and 1"),
        ({"level": -1.0}, "level=-1: give a chance"),
        ({"features": lambda x: x / 0, "lines": []}, "features= gave NaN, infinite or complex numbers"),
        ({"features": lambda x: x * 1j, "lines": []}, "features= gave NaN, infinite or complex numbers"),
    ],
)
def test_what_cannot_be_judged_is_refused(given, words):
    with pytest.raises(BadInput, match=words):
        audit(draw(120, 2), draw(120, 2, seed=1), **given)


def test_generated_rows_that_are_held_out_ones_are_warned_of():
    real = draw(400, 2)
    assert any("held-out rows: has the generator seen them?" in w for w in audit(real, real).context["warnings"])
    assert not any("has the generator" in w for w in audit(draw(400, 2, seed=1), real).context["warnings"])


def test_axes_that_may_mean_something_else_are_told():
    lines = named("energy distance")
    for shape, words in (((12, 12), "give [n, 1, 12, 12]"), ((8, 8, 3), "move the channels, 3 of them, to the front")):
        verdict = audit(draw(150, *shape), draw(150, *shape, seed=1), lines=lines)
        assert any(words in warning for warning in verdict.context["warnings"])
    with pytest.raises(BadInput, match="needs at least 100 generated rows, and n is 0"):
        plan(draw(400, 2), n=0)
