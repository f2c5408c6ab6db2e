"""Resampling: known answers, p uniform under the null, power, and intervals that cover."""

import numpy as np
import pytest
from scipy import stats

from exe_core import resampling
from exe_core.resampling import Statistics

QUICK = Statistics(n_bootstrap=500, n_permutations=199, seed=0)


def mean(sums):
    """The mean of column 0 by the count in column 1."""
    return sums[:, 0] / sums[:, 1]


def as_sums(values):
    return np.column_stack([values, np.ones(len(values))])


def seeded(rng, **options):
    return Statistics(**{"n_permutations": 199, "seed": int(rng.integers(2**31)), **options})


def bounds(found):
    return [found.value, found.low, found.high]


def test_rows_are_summed_by_group():
    rows = np.array([[1.0, 10], [2, 20], [4, 40]])
    assert resampling.sum_by_group(rows, ["b", "a", "b"]).tolist() == [[2, 20], [5, 50]]


def test_interval_is_that_of_the_t_distribution_for_normal_means():
    values = np.random.default_rng(1).normal(size=40)
    found = Statistics(n_bootstrap=20_000, seed=0).interval(as_sums(values), mean)
    exact = stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(exact, abs=0.02)
    assert (found.n, found.method) == (40, resampling.METHOD)


def test_interval_is_undefined_where_many_samples_are():
    """With one group of five holding the label, a third of the samples have none of it."""
    only_one = np.array([[1.0, 1], [0, 0], [0, 0], [0, 0], [0, 0]])
    with np.errstate(invalid="ignore"):
        found = QUICK.interval(only_one, mean)
    assert found.value == 1
    assert np.isnan([found.low, found.high]).all()


def test_strata_are_each_drawn_from():
    """A difference of two strata that are constant has no sampling error."""
    values, first = np.array([0.0] * 5 + [1.0] * 3), np.arange(8) >= 5
    assert bounds(QUICK.group_difference(values, first)) == [1, 1, 1]


@pytest.mark.parametrize("n_groups", [8, 30])
def test_intervals_cover_the_truth_near_their_level(n_groups):
    """Accuracy in groups that differ, as films do: .95 less the noise of 400 simulations."""
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(400):
        right = rng.binomial(20, rng.beta(6, 4, size=n_groups))
        sums = np.column_stack([right, np.full(n_groups, 20)])
        found = seeded(rng, n_bootstrap=400).interval(sums, mean)
        hits += found.low <= 0.6 <= found.high
    assert 0.91 <= hits / 400 <= 0.98


def test_groupings_that_cross_cover_where_both_have_effects_and_one_does_not():
    """Scores of 12 actors in 12 films, each actor and each film with an effect of its own."""
    rng, hits = np.random.default_rng(5), np.zeros(2)
    actor, film = np.indices((12, 12)).reshape(2, -1)
    for _ in range(200):
        effects = rng.normal(size=(2, 12))
        sums = as_sums(effects[0][actor] + effects[1][film] + rng.normal(size=144))
        options = seeded(rng, n_bootstrap=200)
        both = options.interval(sums, mean, crossed=[actor, film])
        cells = options.interval(sums, mean)
        hits += [both.low <= 0 <= both.high, cells.low <= 0 <= cells.high]
    assert hits[0] / 200 >= 0.9
    assert hits[1] / 200 <= 0.75
    assert both.n == 12


def test_values_that_rest_on_few_groups_have_wider_intervals():
    groups = np.random.default_rng(0).normal(size=(60, 2))
    many = Statistics(n_bootstrap=4000, level=0.9)
    found = many.interval(groups, lambda sums: sums / 60, n_effective=[60, 6])
    usual = many.interval(groups, lambda sums: sums / 60)
    width, before = (x.high - x.low for x in (found, usual))
    assert width[0] == pytest.approx(before[0], rel=0.05)
    assert width[1] > 1.2 * before[1]


def test_jackknife_of_a_mean_is_the_t_interval_and_of_what_needs_all_groups_has_no_bounds():
    x = np.random.default_rng(2).normal(size=(12, 1))
    found = Statistics(level=0.9).jackknife(
        x, lambda sums: sums[:, 0] / (12 if len(sums) == 1 else 11)
    )
    t = stats.t.interval(0.9, df=11, loc=x.mean(), scale=stats.sem(x[:, 0]))
    assert (found.low, found.high) == pytest.approx(t)
    one = QUICK.jackknife(np.ones((1, 1)), lambda sums: sums[:, 0])
    needy = QUICK.jackknife(np.ones((3, 1)), lambda sums: np.where(sums[:, 0] < 3, np.nan, 1.0))
    assert one.value == 1
    assert np.isnan([one.low, one.high, needy.low, needy.high]).all()


@pytest.mark.parametrize(("k", "n"), [(0, 5), (3, 5), (5, 5), (40, 200)])
def test_interval_of_a_share_is_wilsons_at_the_level(k, n):
    for level in (0.8, 0.95):
        exact = stats.binomtest(k, n).proportion_ci(level, method="wilson")
        found = Statistics(level=level).share(k / n, n)
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def pair_test(differences, statistics):
    return statistics.difference(as_sums(differences), as_sums(0 * differences), mean)


def test_difference_is_first_minus_second_and_none_of_equal_sides():
    assert pair_test(np.array([1.0, 3.0]), QUICK).value == 2
    sums = as_sums(np.random.default_rng(0).normal(size=12))
    same = QUICK.difference(sums, sums, mean)
    assert [*bounds(same), same.p_value] == [0, 0, 0, 1]


def test_p_of_a_difference_is_uniform_under_the_null():
    """Tests that shift or shuffle are tried in test_criterion_trials."""
    rng = np.random.default_rng(5)
    tried = (pair_test(rng.normal(size=25), seeded(rng, n_bootstrap=50)) for _ in range(500))
    p = np.array([found.p_value for found in tried])
    assert p.min() > 0
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.02 <= (p <= 0.05).mean() <= 0.08


def test_series_of_a_group_are_shifted_by_the_same_steps():
    """The second is the first upside down: shifted by the same steps, their mean never moves."""
    series = np.random.default_rng(1).normal(size=151)
    pair = [series, -series], [lambda s: s[:, 0], lambda s: s[:, 0] + 1.0]
    joint, apart = QUICK.shift_test(*pair, groups=["a", "a"]), QUICK.shift_test(*pair)
    assert [joint.value, apart.value] == pytest.approx([0.5, 0.5])
    assert joint.null == pytest.approx(np.full(len(series) - 1, 0.5))
    assert apart.null.std() > 0.1


def test_a_series_too_short_has_no_p_or_no_interval():
    one = QUICK.shift_test([np.ones(1)], [lambda s: s[:, 0]])
    assert np.isnan([one.p_value, one.low]).all()
    few = QUICK.shift_test([np.arange(10.0)], [lambda s: s[:, 0]])
    assert few.p_value > 0
    assert np.isnan([few.low, few.high]).all()


def test_holm_by_hand():
    """The example of Holm's paper: smallest times 4, next times 3, never falling."""
    assert resampling.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    undefined = resampling.holm([np.nan, 0.02, 0.04])
    assert undefined == pytest.approx([np.nan, 0.04, 0.04], nan_ok=True)


def test_the_mean_over_seeds_widens_the_interval_by_their_spread():
    seeds = [np.column_stack([np.arange(12.0) + k, np.ones(12)]) for k in (0, 1, 5)]
    found = QUICK.mean_over_seeds(seeds, mean)
    assert found.value == pytest.approx(7.5)
    assert found.spread == pytest.approx(np.std([0, 1, 5], ddof=1))
    groups = QUICK.interval(np.hstack(seeds), lambda x: mean(x[:, :2]))
    reach = stats.t.ppf(0.975, 2) * found.spread / np.sqrt(3)
    expected = found.value - np.hypot(groups.value - groups.low, reach)
    assert found.low == pytest.approx(expected, rel=0.05)
    alone = QUICK.mean_over_seeds(seeds[:1], mean)
    assert bounds(alone) == bounds(QUICK.interval(seeds[0], mean))
    assert np.isnan(alone.spread)


@pytest.mark.parametrize(("of_groups", "of_seeds"), [(0.3, 0.0), (0.1, 0.1), (0.02, 0.1)])
def test_intervals_over_seeds_cover_the_truth_as_often_as_they_say(of_groups, of_seeds):
    """Effects of groups and of seeds, crossed, and noise; the truth is 0."""
    rng, hits = np.random.default_rng(5), 0
    for _ in range(200):
        group, seed = of_groups * rng.normal(size=25), of_seeds * rng.normal(size=(3, 1))
        values = group + seed + 0.1 * rng.normal(size=(3, 25))
        found = seeded(rng, n_bootstrap=200).mean_over_seeds([*map(as_sums, values)], mean)
        hits += found.low <= 0 <= found.high
    assert hits / 200 > 0.91
