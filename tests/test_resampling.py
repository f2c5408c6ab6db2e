"""Resampling: known answers, p uniform under the null, power, and intervals that cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exe_core import resampling


def mean(sums):
    """The mean of column 0 by the count in column 1."""
    return sums[:, 0] / sums[:, 1]


def as_sums(values):
    return np.column_stack([values, np.ones(len(values))])


def interval(values, *, n=500, seed=0, **options):
    return resampling.bootstrap(
        as_sums(values), mean, n=n, level=0.95, rng=np.random.default_rng(seed), **options
    )


def test_rows_are_summed_by_group():
    rows = np.array([[1.0, 10], [2, 20], [4, 40]])
    sums = resampling.sum_by_group(rows, ["b", "a", "b"])
    assert sums.tolist() == [[2, 20], [5, 50]]


def test_bootstrap_of_a_constant_is_that_constant():
    assert interval(np.full(20, 0.7)) == pytest.approx((0.7, 0.7, 0.7))


@pytest.mark.parametrize("values", [[0.7], []])
def test_no_interval_without_two_groups(values):
    with np.errstate(invalid="ignore"):
        low, high = interval(np.array(values))[1:]
    assert np.isnan(low)
    assert np.isnan(high)


def test_interval_is_that_of_the_t_distribution_for_normal_means():
    values = np.random.default_rng(1).normal(size=40)
    found = interval(values, n=20_000)
    exact = stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values))
    assert found[1:] == pytest.approx(exact, abs=0.02)


def test_same_seed_same_interval_other_seed_another():
    values = np.random.default_rng(2).normal(size=15)
    assert interval(values) == interval(values)
    assert interval(values) != interval(values, seed=1)


def test_inputs_are_left_unchanged():
    sums = as_sums(np.arange(5.0))
    before = sums.copy()
    resampling.bootstrap(sums, mean, n=50, level=0.9, rng=np.random.default_rng(0))
    assert (sums == before).all()


def test_each_value_of_a_statistic_has_its_own_interval():
    values = np.random.default_rng(3).normal(size=20)
    both = resampling.bootstrap(
        as_sums(values),
        lambda sums: np.column_stack([mean(sums), 3 * mean(sums)]),
        n=200,
        level=0.95,
        rng=np.random.default_rng(0),
    )
    assert both.low.shape == (2,)
    assert both.low[1] == pytest.approx(3 * both.low[0])


def test_interval_is_undefined_where_many_samples_are():
    """With one group of five holding the label, a third of the samples have none of it."""
    only_one = np.array([[1.0, 1], [0, 0], [0, 0], [0, 0], [0, 0]])
    with np.errstate(invalid="ignore"):
        found = resampling.bootstrap(
            only_one, mean, n=500, level=0.95, rng=np.random.default_rng(0)
        )
    assert found.value == 1
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_strata_are_each_drawn_from():
    """A difference of two strata that are constant has no sampling error."""
    values = np.array([0.0] * 5 + [1.0] * 3)
    second = np.arange(8) >= 5
    sums = np.column_stack([values * second, second, values * ~second, ~second])

    def difference(s):
        return s[:, 0] / s[:, 1] - s[:, 2] / s[:, 3]

    found = resampling.bootstrap(
        sums, difference, n=200, level=0.95, rng=np.random.default_rng(0), strata=second
    )
    assert found == (1, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"groups": np.ones(4)}, "shape"),
        ({"groups": np.ones((4, 2)), "strata": ["a"]}, "1 strata for 4 groups"),
    ],
)
def test_bootstrap_refuses_what_does_not_fit(arguments, fault):
    with pytest.raises(ValueError, match=fault):
        resampling.bootstrap(
            statistic=mean, n=50, level=0.95, rng=np.random.default_rng(0), **arguments
        )


@pytest.mark.parametrize("n_groups", [8, 30])
def test_intervals_cover_the_truth_near_their_level(n_groups):
    """Accuracy in groups that differ, as films do: .95 less the noise of 400 simulations."""
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(400):
        right = rng.binomial(20, rng.beta(6, 4, size=n_groups))
        sums = np.column_stack([right, np.full(n_groups, 20)])
        found = resampling.bootstrap(sums, mean, n=400, level=0.95, rng=rng)
        hits += found.low <= 0.6 <= found.high
    assert 0.91 <= hits / 400 <= 0.98


def pair_test(differences, rng, n=199):
    first = as_sums(differences)
    second = as_sums(np.zeros(len(differences)))
    found, p = resampling.paired_difference(
        first, second, mean, n_bootstrap=50, n_permutations=n, level=0.95, rng=rng
    )
    return found.value, p


def test_paired_difference_is_first_minus_second():
    difference, _ = pair_test(np.array([1.0, 3.0]), np.random.default_rng(0))
    assert difference == 2


def test_equal_sides_differ_by_nothing():
    rng = np.random.default_rng(0)
    sums = as_sums(rng.normal(size=12))
    found, p = resampling.paired_difference(
        sums, sums, mean, n_bootstrap=50, n_permutations=99, level=0.95, rng=rng
    )
    assert (*found, p) == (0, 0, 0, 1)


def test_one_pair_has_no_p():
    difference, p = pair_test(np.array([1.0]), np.random.default_rng(0))
    assert difference == 1
    assert np.isnan(p)


def test_unpaired_sides_are_refused():
    with pytest.raises(ValueError, match="pair up"):
        resampling.paired_difference(
            np.ones((3, 2)),
            np.ones((4, 2)),
            mean,
            n_bootstrap=9,
            n_permutations=9,
            level=0.95,
            rng=np.random.default_rng(0),
        )


def shuffle_test(values, labels, rng, n=199):
    def difference(shuffled):
        return values[shuffled].mean() - values[~shuffled].mean()

    return resampling.permutation_test(labels, difference, n=n, rng=rng).p_value


def shift_test(series, rng):
    """The mean of ten steps after an event less that of ten before, against every shift."""

    def difference(stack):
        return stack[:, 40:50].mean(axis=1) - stack[:, 30:40].mean(axis=1)

    return resampling.circular_shift_test([series], [difference], n=199, rng=rng).p_value


def autocorrelated(rng, n=151):
    """A circular series in which neighbours are alike."""
    return np.convolve(np.tile(rng.normal(size=n), 2), np.ones(8), mode="valid")[:n]


TESTS = {
    "paired": lambda rng: pair_test(rng.normal(size=25), rng)[1],
    "shuffled": lambda rng: shuffle_test(rng.normal(size=20), np.arange(20) < 8, rng),
    "shifted": lambda rng: shift_test(autocorrelated(rng), rng),
}


@pytest.mark.parametrize("name", TESTS)
def test_p_is_uniform_under_the_null(name):
    rng = np.random.default_rng(5)
    p = np.array([TESTS[name](rng) for _ in range(500)])
    assert p.min() > 0
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.02 <= (p <= 0.05).mean() <= 0.08


def test_power_at_a_known_effect_is_that_of_the_t_test():
    """25 pairs, effect .6 standard deviations: a t-test finds .82 of them."""
    rng = np.random.default_rng(6)
    found = np.mean([pair_test(rng.normal(0.6, 1, size=25), rng)[1] <= 0.05 for _ in range(400)])
    assert 0.75 <= found <= 0.89


def test_shifts_keep_a_series_and_move_it():
    rows = resampling.rotations(np.array([1, 2, 3, 4]))
    assert rows[0].tolist() == [1, 2, 3, 4]
    assert rows[1].tolist() == [4, 1, 2, 3]
    assert all(sorted(row) == [1, 2, 3, 4] for row in rows)


def test_autocorrelation_alone_is_no_finding():
    """Shuffled time would call a third of such series an event; shifted time does not."""
    rng = np.random.default_rng(7)
    shifted, shuffled = [], []
    for _ in range(300):
        series = autocorrelated(rng)
        shifted.append(shift_test(series, rng))
        shuffled.append(shuffle_test(series[30:50], np.arange(20) >= 10, rng, n=99))
    assert np.mean(np.array(shifted) <= 0.05) < 0.09
    assert np.mean(np.array(shuffled) <= 0.05) > 0.3


def test_series_are_combined_by_their_mean():
    step = np.r_[np.zeros(30), np.ones(30)]

    def difference(stack):
        return stack[:, 30:].mean(axis=1) - stack[:, :30].mean(axis=1)

    rng = np.random.default_rng(8)
    alone = resampling.circular_shift_test([step], [difference], n=999, rng=rng)
    joint = resampling.circular_shift_test([step] * 3, [difference] * 3, n=999, rng=rng)
    assert alone.value == joint.value == 1
    assert joint.p_value < alone.p_value


def test_series_of_a_group_are_shifted_together():
    """The second is the first upside down: shifted alike, their mean never moves."""
    rng = np.random.default_rng(1)
    series = autocorrelated(rng)
    pair = [series, -series], [lambda s: s[:, 0], lambda s: s[:, 0] + 1.0]
    together = resampling.circular_shift_test(*pair, groups=["a", "a"], n=99, rng=rng)
    assert together.value == pytest.approx(0.5)
    assert together.null == pytest.approx(np.full(len(series) - 1, 0.5))
    apart = resampling.circular_shift_test(*pair, n=99, rng=rng)
    assert apart.value == pytest.approx(0.5)
    assert apart.null.std() > 0.1


def test_a_series_of_one_step_has_no_p():
    test = resampling.circular_shift_test(
        [np.ones(1)], [lambda s: s[:, 0]], n=9, rng=np.random.default_rng(0)
    )
    assert np.isnan(test.p_value)


def test_p_is_undefined_with_its_statistic():
    assert np.isnan(resampling.p_value(np.nan, np.zeros(9)))
    assert np.isnan(resampling.p_value(1.0, np.full(9, np.nan)))


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_and_keeps_their_order(p_values):
    adjusted = resampling.holm(p_values)
    assert (adjusted >= np.array(p_values) - 1e-12).all()
    assert (adjusted <= 1).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


def test_holm_by_hand():
    """The example of Holm's paper: smallest times 4, next times 3, never falling."""
    assert resampling.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_out_what_is_undefined():
    adjusted = resampling.holm([np.nan, 0.02, 0.04])
    assert np.isnan(adjusted[0])
    assert adjusted[1:] == pytest.approx([0.04, 0.04])


def test_values_that_rest_on_few_groups_have_wider_intervals():
    groups = np.random.default_rng(0).normal(size=(60, 2))
    found = bootstrap_of(groups, n_effective=[60, 6])
    usual = bootstrap_of(groups)
    width, before = (x.high - x.low for x in (found, usual))
    assert width[0] == pytest.approx(before[0], rel=0.05)
    assert width[1] > 1.2 * before[1]


def bootstrap_of(groups, **options):
    return resampling.bootstrap(
        groups,
        lambda sums: sums / len(groups),
        n=4000,
        level=0.9,
        rng=np.random.default_rng(1),
        **options,
    )


def test_jackknife_of_a_mean_is_the_t_interval():
    x = np.random.default_rng(2).normal(size=(12, 1))
    found = resampling.jackknife(
        x, lambda sums: sums[:, 0] / (12 if len(sums) == 1 else 11), level=0.9
    )
    t = stats.t.interval(0.9, df=11, loc=x.mean(), scale=stats.sem(x[:, 0]))
    assert (found.low, found.high) == pytest.approx(t)


def test_jackknife_of_one_group_or_of_what_needs_them_all_has_no_bounds():
    one = resampling.jackknife(np.ones((1, 1)), lambda sums: sums[:, 0], level=0.9)
    assert one.value == 1
    assert np.isnan([one.low, one.high]).all()
    needy = resampling.jackknife(
        np.ones((3, 1)), lambda sums: np.where(sums[:, 0] < 3, np.nan, 1.0), level=0.9
    )
    assert np.isnan([needy.low, needy.high]).all()
