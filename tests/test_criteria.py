"""The ecological criteria against accuracy: few models say little, and it is said."""

import numpy as np
import pandas as pd
import pytest
from known_world import STUDY, make_tables

from exe_core import criteria, questions


@pytest.fixture(scope="module")
def tables():
    return make_tables()


def test_skilled_models_look_more_structured_in_time(tables):
    known = questions.with_truth(tables["film_predictions"], tables["truth"])
    kept = {name: tables[name] for name in ("frames", "films", "events")}
    measured = criteria.measure_criterion(STUDY, known, **kept).set_index("run_id")
    assert set(measured.index) == set(STUDY.runs)
    assert measured["temporal"].corr(measured["balanced_accuracy"], method="spearman") > 0.8


def test_perfect_agreement_of_few_models_is_no_certainty():
    measured = pd.DataFrame({name: np.arange(6.0) for name in criteria.CRITERIA})
    found = criteria.findings(STUDY, measured.assign(balanced_accuracy=np.arange(6.0)))[0].found
    assert found.value == pytest.approx(1)
    assert found.low < 0.8
    assert found.high < 1


def measures(n, agreement):
    """Models whose criteria agree with their accuracy up to noise."""
    rng = np.random.default_rng(0)
    accuracy = rng.uniform(0.2, 0.9, size=n)
    noisy = {name: agreement * accuracy + rng.normal(0, 0.1, n) for name in criteria.CRITERIA}
    return pd.DataFrame(noisy).assign(balanced_accuracy=accuracy)


def test_many_models_decide():
    for finding in criteria.findings(STUDY, measures(30, 1.0)):
        assert finding.found.low > 0.3
        assert finding.found.p_value < 0.01
        assert finding.reason is None


def test_criterion_that_is_undefined_for_some_models_is_correlated_over_the_others():
    measured = measures(8, 1.0)
    measured.loc[:2, "events"] = np.nan
    found = {finding.claim_id: finding for finding in criteria.findings(STUDY, measured)}
    assert "5 models" in found["q3-events"].reason
    assert "8 models" in found["q3-genre"].reason


def test_criterion_alike_for_all_models_is_not_testable():
    finding = criteria.findings(STUDY, measures(6, 1.0).assign(diversity=0.5))[0]
    assert np.isnan(finding.found.value)


def described(tables, **changes):
    kept = {name: tables[name] for name in ("frames", "films", "events")} | changes
    return criteria.describe_criteria(STUDY, tables["film_predictions"], **kept)


def test_each_run_has_each_criterion_with_its_interval(tables):
    found = described(tables)
    assert found["run_id"].nunique() == tables["film_predictions"]["run_id"].nunique()
    assert found.groupby("run_id")["criterion"].nunique().unique() == [7]
    assert ((found["low"] <= found["value"]) & (found["value"] <= found["high"])).all()
    best = found[found["run_id"] == "exe"].set_index("criterion")
    assert best.loc[criteria.LIKENESS, "p_value"] < 0.05
    assert best.loc[criteria.LIKENESS, "value"] > best.loc[criteria.LIKENESS, "null_mean"]
    assert abs(best.loc[criteria.SEPARATION, "null_mean"]) < 0.05


def test_films_without_genres_and_events_have_the_criteria_that_need_none(tables):
    films, events = tables["films"].assign(genre=None), tables["events"].iloc[:0]
    found = described(tables, films=films, events=events)
    kept = {criteria.DIVERSITY, criteria.LIKENESS, criteria.CHANGE}
    assert set(found["criterion"]) == kept


def test_other_genres_are_separated_and_not_contrasted(tables):
    films = tables["films"].assign(genre=["drama", "horror"] * 5)
    found = described(tables, films=films)
    assert criteria.SEPARATION in set(found["criterion"])
    assert not found["criterion"].str.contains("minus").any()


def test_poor_models_do_not_carry_the_correlation_among_the_better():
    """Twenty tell good from bad; among the ten that are good, more of it is worse."""
    measured = measures(20, 1.0)
    order = measured["balanced_accuracy"].rank()
    turned = np.where(order > 10, 31 - order, order)
    measured = measured.assign(genre=turned, diversity=order)
    values = criteria.among_the_better(STUDY, measured)
    assert (values["n_models"], values["n_better"]) == (20, 10)
    assert values["better.genre"]["value"] == pytest.approx(-1)
    assert values["better.diversity"]["value"] == pytest.approx(1)
    assert -1 < values["better.genre"]["high"] < 0
