"""The world's questions: on tables whose answer is built in, the verdict is that answer."""

import pandas as pd
import pytest
from known_world import STUDY, make_tables

from exe_core import criteria, questions


@pytest.fixture(scope="module")
def tables():
    return make_tables()


@pytest.fixture(scope="module")
def answers(tables):
    return questions.answer_questions(STUDY, **tables).set_index("claim_id")


def test_mixtures_have_no_true_label(tables):
    known = questions.with_truth(tables["film_predictions"], tables["truth"])
    assert known["label"].isna().mean() == pytest.approx(0.2)


def test_strata_hold_each_face_once_a_trait_and_leave_the_unknown_out():
    truth = pd.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "skin_tone": [0.5, 2.0, 5.9, None],
            "yaw_deg": [-40.0, 10.0, None, 15.1],
        }
    )
    known = pd.DataFrame({"item_id": ["a", "b", "c", "d", "elsewhere"], "set_name": "films"})
    found = questions.by_trait(known, truth)
    places = found.groupby("trait")[["item_id", "set_name"]].apply(
        lambda rows: dict(rows.itertuples(index=False))
    )
    assert places["skin tone"] == {"a": "light", "b": "light", "c": "dark"}
    assert places["head turned"] == {"a": "over 30°", "b": "under 15°", "d": "15° to 30°"}


def test_every_question_has_its_rows(answers):
    families = answers["family"].value_counts().to_dict()
    assert families == {"q1": 1, "q2": 1, "q3": len(criteria.CRITERIA), "q5": 4, "q6": 2}


@pytest.mark.parametrize(
    ("claim_id", "verdict"),
    [
        ("q1-fer2013", "supported"),
        ("q2-gray-fer2013", "supported"),
        ("q5-accuracy-pexels", "supported"),
        ("q5-accuracy-pixabay", "not supported"),
        ("q5-noise-pexels", "contradicted"),
        ("q6-bias", "supported"),
        ("q6-corrected", "supported"),
    ],
)
def test_answer_built_in_is_the_answer_given(answers, claim_id, verdict):
    assert answers.loc[claim_id, "verdict"] == verdict


def test_measured_noise_is_the_noise_put_in(answers):
    for source in ("pexels", "pixabay"):
        assert answers.loc[f"q5-noise-{source}", "estimate"] == pytest.approx(0.2, abs=0.07)


def test_few_models_are_said_to_be_few_and_leave_it_wide(answers):
    rows = answers[answers["family"] == "q3"]
    assert rows["reason"].str.contains("5 models only").all()
    assert (rows["high"] - rows["low"]).min() > 0.5


def test_two_models_have_no_correlation(tables):
    few = tables["film_predictions"]["run_id"].isin(["pexels-v1", "fer2013"])
    rows = questions.answer_questions(
        STUDY, **{**tables, "film_predictions": tables["film_predictions"][few]}
    ).set_index("claim_id")
    assert (rows.loc[rows["family"] == "q3", "verdict"] == "not testable").all()
    assert "2 models" in rows.loc["q3-diversity", "reason"]
    assert rows.loc["q1-fer2013", "reason"] == "predictions of both are needed"


def test_missing_input_is_not_testable_and_says_which(tables):
    rows = questions.answer_questions(STUDY, **{**tables, "in_colour": None, "corrected": None})
    rows = rows.set_index("claim_id")
    assert rows.loc["q2-gray-fer2013", "verdict"] == "not testable"
    assert rows.loc["q6-corrected", "verdict"] == "not testable"
    assert "corrected" in rows.loc["q6-corrected", "reason"]


def test_without_truth_nothing_is_decided(tables):
    unknown = tables["truth"].assign(label_true=None)
    rows = questions.answer_questions(STUDY, **{**tables, "truth": unknown})
    assert (rows["verdict"] == "not testable").all()


def test_too_few_films_to_decide_are_said_to_be(tables):
    predictions = tables["film_predictions"]
    few = predictions[predictions["group_id"].isin(["film0", "film1", "film2"])]
    rows = questions.answer_questions(STUDY, **{**tables, "film_predictions": few}).set_index(
        "claim_id"
    )
    assert rows.loc["q1-fer2013", "verdict"] == "not supported"
    assert rows.loc["q1-fer2013", "reason"] == "with 3 films p can't fall below 0.25"


def test_the_truth_of_a_film_lies_on_its_sampled_frames():
    truth = pd.DataFrame(
        {
            "item_id": ["f:000000", "f:000024", "f:000048", "g:000000"],
            "set_name": "films",
            "label_true": ["sad", None, "happy", "angry"],
        }
    )
    frames = pd.DataFrame(
        {"film_id": "f", "frame": [0, 24, 48, 72], "time_s": [0.0, 1.0, 2.0, 3.0]}
    )
    course = questions.true_course(truth, frames)
    assert course["time_s"].tolist() == [0.0, 1.0, 2.0]
    assert course["label_true"].isna().tolist() == [False, True, False]
    assert course["label_true"].dropna().tolist() == ["sad", "happy"]
    assert questions.true_course(truth, frames.assign(film_id="unknown")).empty


def test_the_truth_of_films_is_laid_out_as_a_run_that_is_always_right():
    truth = pd.DataFrame(
        {
            "item_id": ["film:one:000000", "film:one:000024", "pexels:1"],
            "set_name": ["films", "films", "photos"],
            "label_true": ["happy", None, "sad"],
        }
    )
    found = questions.true_answers(truth)
    assert found["film_id"].tolist() == ["film:one"] * 2
    assert found["frame"].tolist() == [0, 24]
    assert found["predicted"].tolist()[0] == "happy"
    assert found["predicted"].isna().tolist() == [False, True]
    none = questions.true_answers(truth[truth["set_name"] == "photos"])
    assert none.empty
    assert none.columns.tolist() == found.columns.tolist()
