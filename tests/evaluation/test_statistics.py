"""Each statistic against an independent reference, a closed form or an exact law."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.ensemble import RandomForestClassifier

from monge.errors import BadInput
from monge.evaluation import (
    LINES,
    audit,
    ball_radii,
    cell_centres,
    classifier_two_sample,
    closer_to_training,
    coverage,
    coverage_of_one_law,
    directions,
    energy_distance,
    energy_test,
    expected_coverage,
    frechet_distance,
    holm,
    near_copies,
    nearest,
    precision,
    sliced_floor,
    sliced_test,
    sliced_wasserstein,
    squared_distances,
    visits,
)
from monge.evaluation.statistics.means import Relabellings, histograms, kernels, means_test, one_hot, whitened
from monge.evaluation.statistics.resampling import two_regime_interval


def in_cells(x, y, centres, permutations, seed=0):
    """The test of shares in the cells of these centres."""
    found = [one_hot(nearest(rows, centres).indices[:, :1], [len(centres)]) for rows in (x, y)]
    share = len(x) / (len(x) + len(y))
    compare = histograms([len(centres)], share)
    return means_test(*found, compare, Relabellings(len(x), len(y), seed, permutations))


def draw(n, d, seed, shift=0.0, dtype=torch.float64):
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    x[:, 0] += shift
    return x


def uniform_under_the_null(p_values):
    """Kolmogorov-Smirnov against the uniform law, at a level that one run in a thousand misses."""
    return stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_distances_agree_with_differences():
    x, y = draw(30, 7, 0), draw(20, 7, 1)
    direct = (x[:, None] - y[None]).square().sum(-1)
    assert torch.allclose(squared_distances(x, y), direct, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [7, 64, 1000])
@pytest.mark.parametrize("skip_self", [False, True])
def test_nearest_is_exhaustive_search_for_any_chunk(chunk, skip_self):
    x = draw(90, 3, 0)
    y = x if skip_self else draw(60, 3, 1)
    table = torch.cdist(x, y)
    if skip_self:
        table.fill_diagonal_(torch.inf)
    expected = table.topk(4, largest=False)
    found = nearest(x, y, 4, skip_self=skip_self, chunk=chunk)
    assert torch.equal(found.indices, expected.indices)
    assert torch.allclose(found.distance, expected.values, atol=1e-9)


def test_energy_distance_agrees_with_scipy_in_one_dimension():
    x, y = draw(70, 1, 0), draw(45, 1, 1, shift=0.5)
    reference = stats.energy_distance(x[:, 0], y[:, 0]) ** 2
    assert math.isclose(energy_distance(x, y, biased=True), reference, rel_tol=1e-10)


def test_energy_distance_is_the_mean_over_pairs_of_different_rows():
    x, y = draw(12, 3, 0), draw(9, 3, 1)
    within_x, within_y = torch.pdist(x).mean(), torch.pdist(y).mean()
    assert math.isclose(energy_distance(x, y), float(2 * torch.cdist(x, y).mean() - within_x - within_y), rel_tol=1e-10)


@pytest.mark.parametrize("chunk", [5, 13, 100, 4096])
def test_values_do_not_depend_on_the_chunk(chunk):
    x, y = draw(90, 20, 0, dtype=torch.float32), draw(70, 20, 1, 1.0, dtype=torch.float32)
    reference, other = energy_test(x, y, permutations=49), energy_test(x, y, permutations=49, chunk=chunk)
    assert math.isclose(other.value, reference.value, abs_tol=1e-9)
    assert torch.allclose(other.null, reference.null, atol=1e-9)
    assert math.isclose(sliced_wasserstein(x, y), sliced_wasserstein(y, x), abs_tol=1e-6)
    radii = ball_radii(y)
    assert torch.allclose(ball_radii(y, chunk=chunk), radii, atol=1e-9)
    assert torch.equal(visits(x, y, radii, chunk=chunk).counts, visits(x, y, radii).counts)


def test_energy_distance_keeps_its_digits_far_from_zero():
    x, y = draw(80, 5, 0), draw(60, 5, 1)
    assert math.isclose(energy_distance(x + 1e6, y + 1e6), energy_distance(x, y), abs_tol=1e-7)


def test_permuted_energy_is_the_energy_of_the_relabelled_rows():
    """The quadratic-form shortcut against the statistic recomputed: the mean over all relabellings is zero."""
    x, y = draw(3, 2, 0), draw(3, 2, 1)
    pooled = torch.cat([x, y])
    test = energy_test(x, y, permutations=400)
    from itertools import combinations

    every = [
        energy_distance(pooled[list(pick)], pooled[[i for i in range(6) if i not in pick]])
        for pick in combinations(range(6), 3)
    ]
    assert abs(np.mean(every)) < 1e-12
    assert np.abs(test.null.numpy()[:, None] - np.array(every)).min(axis=1).max() < 1e-12
    assert len(np.unique(test.null.numpy().round(9))) == len(np.unique(np.round(every, 9)))


def test_p_values_are_uniform_under_the_null():
    energies, slices, cells, copies, ranks = [], [], [], [], []
    for r in range(120):
        x, y = draw(60, 2, 3 * r), draw(40, 2, 3 * r + 1)
        energies.append(energy_test(x, y, permutations=99, seed=r).p_value)
        slices.append(sliced_test(x, y, permutations=99, count=8, seed=r).p_value)
        cells.append(in_cells(x, y, draw(4, 2, 3 * r + 2), 99, r).p_value)
        near, far = x[:, 0].abs(), y[:, 0].abs()
        copies.append(near_copies(near, far, level=0.3, seed=r).p_value)
        ranks.append(closer_to_training(near, far).p_value)
    for p_values in (energies, slices, ranks):
        assert uniform_under_the_null(p_values)
    for p_values in (cells, copies):  # discrete: at most as often small as a uniform one
        for level in (0.05, 0.1, 0.3):
            assert np.mean(np.array(p_values) <= level) <= level + 3 * math.sqrt(level * (1 - level) / 120)
    assert np.mean(np.array(cells) <= 0.5) > 0.2
    assert np.mean(np.array(copies) <= 0.5) > 0.2


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_intervals_cover_the_true_energy_and_sliced_distance(shift):
    """In one dimension W2^2 = shift^2 between N(0, 1) and N(shift, 1), and the energy distance is an integral."""
    sample = draw(400_000, 1, 99)[:, 0] * math.sqrt(2.0)
    energy = 2.0 * float(((sample + shift).abs() - sample.abs()).mean())
    runs, covered = 40, np.zeros(2)
    floor = sliced_floor(draw(4000, 1, 98), 100, count=1, splits=100)
    for r in range(runs):
        x, y = draw(200, 1, 2 * r, shift), draw(100, 1, 2 * r + 1)
        test = energy_test(x, y, permutations=99, seed=r)
        low, high = two_regime_interval(test.value, [test.influence_x, test.influence_y], test.null, r, "e")
        covered[0] += low <= energy <= high
        sliced = sliced_test(x, y, permutations=99, count=1, seed=r)
        low, high = two_regime_interval(
            sliced.squared - floor, [sliced.influence_x, sliced.influence_y], sliced.null, r, "s"
        )
        covered[1] += low <= shift**2 <= high
    assert (covered / runs >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs)).all()


def test_influences_predict_the_effect_of_a_row():
    """Influence = n times the change of the value when the row's weight grows by 1/n: leave one row out."""
    x, y = draw(60, 2, 0), draw(50, 2, 1, shift=2.0)
    test = energy_test(x, y, permutations=0)
    without = torch.tensor([energy_distance(torch.cat([x[:i], x[i + 1 :]]), y) for i in range(60)], dtype=torch.float64)
    assert torch.allclose(59 * (test.value - without), test.influence_x, atol=0.05)
    assert np.corrcoef(59 * (test.value - without), test.influence_x)[0, 1] > 0.999


def test_sliced_influences_are_those_of_the_squared_distance():
    """N(0, 1) against N(2, 1): the potential is (u^2 - 2 integral T) = -4 u up to a constant, with T(u) = u + 2."""
    x, y = draw(4000, 1, 0), draw(4000, 1, 1, shift=2.0)
    test = sliced_test(x, y, permutations=0, count=3)
    assert np.corrcoef(test.influence_x, -4 * x[:, 0])[0, 1] > 0.999
    slope = np.polyfit(x[:, 0], test.influence_x, 1)[0]
    assert abs(slope + 4) < 0.3


def test_sliced_distance_of_gaussians_has_its_closed_form():
    """Along u, N(0, A) and N(m, B) have W2^2 = (u.m)^2 + (sqrt(u'Au) - sqrt(u'Bu))^2."""
    n, d = 40_000, 4
    scale, mean = torch.tensor([1.0, 2.0, 0.5, 1.5]).double(), torch.tensor([1.0, -1.0, 0.0, 0.5]).double()
    x, y = draw(n, d, 0), draw(n, d, 1) * scale + mean
    u = directions(d, 64).double()
    exact = ((u.T @ mean) ** 2 + (1.0 - (u.square().T @ scale.square()).sqrt()) ** 2).mean().sqrt()
    assert abs(sliced_wasserstein(x, y, count=64) - float(exact)) < 4 * 2.0 / math.sqrt(n)


@pytest.mark.parametrize("sizes", [(40, 40), (30, 70), (64, 100)])
def test_sliced_distance_agrees_with_repeated_quantiles(sizes):
    """W2 of unequal samples = W2 of the samples with each value repeated to the least common multiple."""
    n, m = sizes
    x, y = draw(n, 3, 0), draw(m, 3, 1, shift=1.0)
    unit = math.lcm(n, m)
    turn = directions(3, 16).double()
    a = (x @ turn).sort(dim=0).values.repeat_interleave(unit // n, dim=0)
    b = (y @ turn).sort(dim=0).values.repeat_interleave(unit // m, dim=0)
    assert math.isclose(sliced_wasserstein(x, y, count=16), float((a - b).square().mean().sqrt()), rel_tol=1e-9)


def test_sliced_test_averages_blocks_of_equal_numbers():
    x, y = draw(35, 3, 0), draw(80, 3, 1)
    blocks = [sliced_wasserstein(x, y[s : s + 35], count=16) ** 2 for s in (0, 35)]
    assert math.isclose(sliced_test(x, y, permutations=0, count=16).squared, np.mean(blocks), rel_tol=1e-9)


def test_sliced_floor_from_halves_is_that_of_full_sets():
    """An eighth of the rows' halves, rescaled, agrees with sets of the full size within a tenth."""
    real = draw(6000, 8, 0)
    whole, halves = sliced_floor(real, 1000, splits=60), sliced_floor(real[:1000], 1000, splits=60)
    assert abs(halves / whole - 1) < 0.1


def test_coverage_and_precision_on_known_cases():
    real = torch.arange(20.0).reshape(-1, 1)
    assert coverage(real, real) == precision(real, real) == 1.0
    assert coverage(real + 1000, real) == precision(real + 1000, real) == 0.0
    assert coverage(real[:1], real, k=2) == 0.1  # the balls around 0, of reach 2, and around 1, of reach 1
    assert precision(torch.cat([real, real + 1000]), real) == 0.5


def test_coverage_of_one_law_is_what_simulation_gives():
    found = [coverage(draw(50, 3, 2 * r), draw(80, 3, 2 * r + 1)) for r in range(200)]
    assert abs(np.mean(found) - coverage_of_one_law(80, 50)) < 4 * np.std(found) / math.sqrt(200)


def test_expected_coverage_is_the_mean_over_subsets():
    x, real = draw(60, 2, 0), draw(40, 2, 1)
    radii = ball_radii(real)
    generator = torch.Generator().manual_seed(0)
    subsets = [coverage(x[torch.randperm(60, generator=generator)[:25]], real) for _ in range(400)]
    found = expected_coverage(visits(x, real, radii), 25).value
    assert abs(np.mean(subsets) - found) < 4 * np.std(subsets) / math.sqrt(400)


def test_jackknife_error_of_coverage_is_not_too_small():
    real = draw(100, 4, 0)
    radii = ball_radii(real)
    found = [expected_coverage(visits(draw(300, 4, 1 + r), real, radii, groups=20), 100) for r in range(100)]
    spread = np.std([c.value for c in found])
    assert 0.9 * spread < np.mean([c.error for c in found]) < 2 * spread


def test_cells_see_a_missing_mode_and_weigh_it_by_half():
    modes = torch.eye(10).double() * 50
    y = modes.repeat(60, 1) + draw(600, 10, 0)
    x = modes[:9].repeat(60, 1) + draw(540, 10, 1)
    found = in_cells(x, y, modes, 499)
    assert found.p_value == pytest.approx(1 / 500)
    assert found.value == pytest.approx(0.05 + 9 * (1 / 9 - 0.1) ** 2 / (2 * (1 / 9 + 0.1)), rel=1e-5)
    assert len(cell_centres(y, 12)) == 12


def test_cells_floor_is_the_mean_of_the_null():
    centres = draw(12, 2, 0)
    found = [in_cells(draw(300, 2, 2 * r + 1), draw(200, 2, 2 * r + 2), centres, 199) for r in range(100)]
    values, floors = [f.value for f in found], [f.floor for f in found]
    assert abs(np.mean(values) - np.mean(floors)) < 4 * np.std(values) / 10


def test_closer_to_training_agrees_with_mann_whitney():
    a, b = draw(40, 1, 0)[:, 0], draw(50, 1, 1, shift=0.3)[:, 0]
    found = closer_to_training(a, b)
    reference = stats.mannwhitneyu(b, a, alternative="greater", use_continuity=False, method="asymptotic")
    assert math.isclose(found.value, reference.statistic / (40 * 50), rel_tol=1e-12)
    assert math.isclose(found.p_value, reference.pvalue, rel_tol=1e-9)
    assert found.interval[0] < found.value < found.interval[1]


def test_near_copies_interval_covers_the_true_share():
    """Distances uniform on (0, 1) against uniform on (0, 1/2): below the 5% quantile lies a tenth."""
    covered = 0
    for r in range(100):
        g = torch.Generator().manual_seed(r)
        low, high = near_copies(torch.rand(500, generator=g) / 2, torch.rand(400, generator=g), seed=r).interval
        covered += low <= 0.1 <= high
    assert covered >= 95 - 3 * math.sqrt(95 * 0.05)


def test_classifier_two_sample():
    x, y = draw(200, 3, 0), draw(150, 3, 1)
    same, apart = classifier_two_sample(x, y), classifier_two_sample(x, y + 1.5)
    assert same.rows == 300
    assert abs(same.accuracy - 0.5) < 4 * same.error
    assert apart.accuracy > 0.85
    assert apart.p_value < 1e-20 < same.p_value
    assert classifier_two_sample(x, y, seed=0) == same
    ring = 3.0 * torch.nn.functional.normalize(x, dim=1)
    assert classifier_two_sample(ring, y).accuracy < 0.65  # a plane cannot tell a sphere from a ball
    forest = RandomForestClassifier(30, random_state=0)
    assert classifier_two_sample(ring.float().reshape(-1, 1, 3), y.float().reshape(-1, 1, 3), forest).accuracy > 0.85
    with pytest.raises(BadInput, match="3 rows for 5 folds"):
        classifier_two_sample(x[:3], y)


def test_holm_agrees_with_the_step_down_by_hand():
    assert holm([0.04, 0.001, 0.03]) == pytest.approx([0.06, 0.003, 0.06])
    assert holm([]) == []


def test_frechet_s_distance_of_gaussians_is_the_closed_one():
    """Of N(m, diag(a)) and N(0, diag(b)) it is |m|^2 + sum (sqrt a - sqrt b)^2."""
    a, b, m = torch.tensor([4.0, 1.0, 0.25]), torch.tensor([1.0, 1.0, 1.0]), torch.tensor([0.5, 0.0, 0.0])
    exact = 0.25 + 1.0 + 0.25
    assert float(frechet_distance(m, a.diag(), 0 * m, b.diag())) == pytest.approx(exact, rel=1e-9)
    turn = torch.linalg.qr(draw(3, 3, 0)).Q
    turned = [turn @ s.double().diag() @ turn.T for s in (a, b)]
    assert float(frechet_distance(turn @ m.double(), turned[0], 0 * m, turned[1])) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("compare", ["whitened", "kernels"])
def test_means_are_tested_exactly_and_found_when_they_differ(compare):
    def test(x, y, seed):
        by = whitened(torch.cat([x, y]), torch.ones(1, 4)) if compare == "whitened" else kernels(2)
        return means_test(x, y, by, Relabellings(len(x), len(y), seed, 99)).p_value

    null = [test(draw(40, 4, 2 * r).float(), draw(60, 4, 2 * r + 1).float(), r) for r in range(120)]
    assert uniform_under_the_null(null)
    assert test(draw(40, 4, 0).float() + 1, draw(60, 4, 1).float(), 0) == 0.01


def test_hotelling_s_distance_is_that_of_its_formula():
    x, y = draw(500, 3, 0).float() + 0.2, draw(400, 3, 1).float()
    both = torch.cat([x, y]).double()
    gap = x.double().mean(0) - y.double().mean(0)
    deviation = both.std(0, correction=0)
    correlation = torch.corrcoef(both.T) + 0.01 * torch.eye(3)
    exact = float((gap / deviation) @ torch.linalg.solve(correlation, gap / deviation))
    found = means_test(x, y, whitened(torch.cat([x, y])), Relabellings(500, 400, 0, 99))
    assert found.value == pytest.approx(exact, rel=1e-4)
    assert found.interval[0] <= found.value <= found.interval[1]


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_intervals_of_means_cover_what_the_statistic_is_on_average(shift):
    """|mean x - mean y|^2 is |shift|^2 + k (1 / n + 1 / m) on average."""
    covered, exact = 0, 3 * shift**2 + 3 * (1 / 200 + 1 / 150)
    for r in range(60):
        x, y = draw(200, 3, 2 * r).float() + shift, draw(150, 3, 2 * r + 1).float()
        low, high = means_test(x, y, kernels(3), Relabellings(200, 150, r, 99)).interval
        covered += low <= exact <= high
    assert covered >= 60 * 0.95 - 4 * math.sqrt(60 * 0.95 * 0.05)


def test_planted_power_is_the_rate_at_which_the_defect_is_seen():
    """The audit's own power for a region of 5% against how often it fails when that is planted: binomial error."""
    g = torch.Generator().manual_seed(0)
    modes = 4 * torch.randn(20, 8, generator=g)
    seen, told = [], []
    for r in range(10):
        mode = torch.randint(20, (900,), generator=g)
        real = modes[mode] + torch.randn(900, 8, generator=g)
        x = torch.randint(19, (500,), generator=g)
        lines = [line for line in LINES if line.name == "regions"]
        verdict = audit(modes[x] + torch.randn(500, 8, generator=g), real, seed=r, lines=lines)
        seen.append(verdict.status == "fail")
        told.append(verdict.lines[0].curves["cluster"]["1.0"])
    power = np.mean(told)
    assert power > 0.7
    assert abs(np.mean(seen) - power) < 0.1 + 3 * math.sqrt(power * (1 - power) / 10)
