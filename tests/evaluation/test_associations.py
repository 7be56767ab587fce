"""Lines on the columns of tables: associations by kind, and train on generated, test on real."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from monge.data import Samples
from monge.data.columns import Columns
from monge.evaluation import Margins, audit
from monge.evaluation.descriptors import VALUES
from monge.evaluation.descriptors.columns import associations, moments_of, scores, second_moments
from monge.evaluation.lines.columns import PAIRS, RIDGE, UTILITY, Regressions
from monge.evaluation.split import Naming

LINES = (PAIRS, UTILITY)


def law(n: int, seed: int) -> np.ndarray:
    g = np.random.default_rng(seed)
    a = g.standard_normal(n)
    b = 0.6 * a + 0.8 * g.standard_normal(n)
    c = (a + b + g.standard_normal(n) > 0) * 1.0
    return np.stack([a, b, c, np.exp(g.standard_normal(n) + 0.5 * b)], 1).astype(np.float32)


def drawn_apart(x: np.ndarray, share: float, seed: int) -> np.ndarray:
    x, k, g = x.copy(), int(share * len(x)), np.random.default_rng(seed)
    for column in x.T:
        column[:k] = column[g.permutation(k)]
    return x


def test_associations_of_numbers_are_rank_correlations():
    x = law(500, 0)
    found = associations(VALUES, (0, 1, 2, 3)).fit(torch.from_numpy(x), 0)
    expected = spearmanr(x).statistic[np.triu_indices(4, 1)]
    assert found(torch.from_numpy(x)).mean(0).numpy() == pytest.approx(expected, abs=0.003)  # 1/n of n - 1 and n


def test_columns_of_one_text_are_no_pair_and_tell_of_no_other():
    g = np.random.default_rng(0)
    kind = g.integers(0, 3, 400)
    x = torch.from_numpy(np.column_stack([np.eye(3)[kind], kind + g.standard_normal(400)])).float()
    assert associations(VALUES, (0, 0, 0, 1)).fit(x, 0)(x).shape == (400, 3)
    naming = Naming(("k=a", "k=b", "k=c", "v"), np.zeros(4), np.ones(4), {f"k={t}": ("k", "no", t) for t in "abc"})
    assert naming.owners(4) == (0, 0, 0, 1)
    of = scores(x, (0, 0, 0, 1))
    assert of.owner.tolist() == [0, 0, 0, 1, 1, 1, 1]  # of two values one score, of others four
    z = of.measure(x)
    assert z.mean(0).abs().max() < 1e-5
    assert z.std(0, correction=0).numpy() == pytest.approx(1.0, abs=1e-5)


def test_what_is_explained_is_that_of_ridge_regressions_on_rows_not_learned_from():
    x, tested = torch.from_numpy(law(400, 1)), torch.from_numpy(law(300, 2))
    of = scores(tested, (0, 1, 2, 3))
    moments = second_moments(VALUES, (0, 1, 2, 3)).fit(tested, 0)
    task = Regressions(moments_of(moments(tested).double().mean(0)[None])[0], of.owner, tuple("abcd"))
    found = task.explained(moments_of(moments(x).double().mean(0)[None]))[0]
    z, t = of.measure(x).double().numpy(), of.measure(tested).double().numpy()
    for column in range(4):
        own = of.owner.numpy() == column
        model = Ridge(alpha=RIDGE * len(z)).fit(z[:, ~own], z[:, own])
        left = ((t[:, own] - model.predict(t[:, ~own]).reshape(len(t), -1)) ** 2).mean(0).sum()
        assert float(found[column]) == pytest.approx(1 - left / t[:, own].var(0).sum(), abs=1e-4)


def test_columns_that_are_drawn_apart_are_found_and_real_ones_pass():
    holdout = law(2000, 3)
    real = audit(law(2000, 4), holdout=holdout, lines=LINES)
    assert [line.status for line in real.lines] == ["pass", "undecided"]  # what is explained changes with the square
    assert real.lines[1].blind
    assert {outcome.name: outcome.status for outcome in real.defects} == {"association": "pass"}
    wrong = audit(drawn_apart(law(2000, 5), 0.6, 6), holdout=holdout, lines=LINES)
    assert wrong.status == "fail"
    pairs, utility = wrong.lines
    assert "with column" in pairs.detail
    assert "is explained by what learned from yours" in utility.detail
    assert utility.value < utility.floor
    assert utility.interval[0] < utility.value < utility.interval[1]
    assert utility.status == "fail"


def test_the_margin_is_what_the_planted_share_costs():
    holdout = law(4000, 7)
    verdict = audit(law(4000, 8), holdout=holdout, lines=(UTILITY,), margins=Margins(association=0.5))
    (line,) = verdict.lines
    apart = audit(drawn_apart(law(4000, 9), 0.5, 10), holdout=holdout, lines=(UTILITY,)).lines[0]
    se = (apart.interval[1] - apart.interval[0]) / 3.92
    assert line.margin == pytest.approx(apart.floor - apart.value, abs=4 * se)


def test_columns_that_do_not_go_together_have_no_such_lines():
    g = np.random.default_rng(0)
    names = {line.name for line in audit(g.standard_normal((300, 3)), holdout=g.standard_normal((300, 3))).lines}
    assert not names & {"pairs of columns", "utility"}


def test_columns_are_told_by_the_names_of_the_table():
    import pyarrow

    def table(seed: int) -> Samples:
        g = np.random.default_rng(seed)
        age = g.normal(40, 12, 1500)
        job = np.where(age + g.normal(0, 8, 1500) > 45, "retired", np.where(g.random(1500) < 0.5, "clerk", "smith"))
        cells = pyarrow.table({"age": age, "job": job})
        code = Columns.fit(cells, "t")
        return Samples(torch.from_numpy(code.encode(cells, "t")).float(), columns=code.names, code=code)

    mine, real = table(1), table(2)
    order = torch.randperm(len(mine), generator=torch.Generator().manual_seed(0))
    mixed = Samples(torch.cat([mine.x[:, :1], mine.x[order, 1:]], 1), columns=mine.columns, code=mine.code)
    pairs, utility = audit(mixed, holdout=real, lines=LINES).lines
    assert pairs.status == utility.status == "fail"
    assert "age with job" in pairs.detail
    assert "of job" in utility.detail or "of age" in utility.detail


def labelled(n: int, seed: int, turned: float = 0.0) -> Samples:
    """Two columns that tell the label, a share of the labels being of other rows."""
    g = np.random.default_rng(seed)
    y = g.integers(0, 3, n)
    x = np.stack([y + g.standard_normal(n), g.standard_normal(n)], 1)
    y[: int(turned * n)] = g.permutation(y[: int(turned * n)])
    return Samples(torch.from_numpy(x).float(), torch.from_numpy(y), classes=("boot", "coat", "shoe"))


def test_a_label_that_is_given_is_a_column_of_the_table():
    lines = audit(labelled(2000, 0), holdout=labelled(2000, 1), lines=LINES).lines
    assert [line.status for line in lines] == ["pass", "undecided"]
    pairs, utility = audit(labelled(2000, 2, turned=0.7), holdout=labelled(2000, 1), lines=LINES).lines
    assert pairs.status == utility.status == "fail"
    assert "with label" in pairs.detail
    assert "of label" in utility.detail


def test_of_many_columns_those_that_go_together_are_looked_at():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(400, 300, generator=g)
    x[:, ::3] = 1.0
    x[:, 299] = x[:, 298] + 0.1 * torch.randn(400, generator=g)
    found = scores(x, tuple(range(300)), 1)
    assert len(found.column) == 48
    assert (found.column % 3 != 0).all()
    assert {298, 299} <= set(found.column.tolist())
    assert found.measure(x).shape == (400, 48)
    apart = torch.cat([x[:, :298], x[torch.randperm(400, generator=g), 298:299], x[:, 299:]], 1)[:200]
    (line,) = audit(apart, holdout=x[200:], lines=(PAIRS,)).lines
    assert line.status == "fail"
    assert line.detail.startswith("column 299 with column 300: ")
    assert audit(x[:200], holdout=x[200:], lines=(PAIRS,)).status != "fail"
