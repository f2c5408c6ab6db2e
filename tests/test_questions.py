"""The world's questions: on tables whose answer is built in, the verdict is that answer."""

import numpy as np
import pandas as pd
import pytest

from exe_core import criteria, films, metrics, questions, study, tables
from exe_core.labels import FIVE, prob_columns

LABELS = FIVE
N_FILMS, N_FRAMES = 10, 40

STUDY = study.parse_study(
    {
        "name": "tables",
        "kind": "world",
        "title": "Tables whose answers are known",
        "statistics": {"n_bootstrap": 200, "n_permutations": 400},
        "sets": {
            **{
                f"{source}-{design}": {"kind": "photos", "source": source, "design": design}
                for source in ("pexels", "pixabay")
                for design in ("v1", "v2")
            },
            "fer2013": {"kind": "fer2013", "path": "fer2013.csv"},
        },
        "runs": {
            "pexels-v1": {"sets": ["pexels-v1"]},
            "pexels-v2": {"sets": ["pexels-v2"]},
            "pixabay-v1": {"sets": ["pixabay-v1"]},
            "pixabay-v2": {"sets": ["pixabay-v2"]},
            "fer2013": {"sets": ["fer2013"], "gray": True},
        },
        "ensembles": {"exe": ["pexels-v1", "pexels-v2", "pixabay-v1", "pixabay-v2"]},
    }
)

SKILL = {
    "pexels-v1": 1.0,
    "pexels-v2": 2.2,
    "pixabay-v1": 1.5,
    "pixabay-v2": 1.6,
    "fer2013": 0.3,
    "exe": 3.0,
}


def truth_table():
    """Films of four acts each; every fifth frame is between two expressions."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "item_id": f"film{film}:{100 * step:06d}",
            "set_name": "films",
            "label_true": LABELS[acts[step * 4 // N_FRAMES]],
            "n_faces": 1,
            "is_blend": step % 5 == 4,
        }
        for film in range(N_FILMS)
        for acts in [rng.permutation(len(LABELS))[:4]]
        for step in range(N_FRAMES)
    ]
    return pd.DataFrame(rows)


def predict(truth, run_id, skill, *, seed=0, bias=0.0):
    """Lean to the truth by `skill`, and to sad by `bias`."""
    rng = np.random.default_rng(seed)
    shown = pd.Index(LABELS).get_indexer(truth["label_true"])
    logits = rng.normal(size=(len(truth), 5)) + skill * np.eye(5)[shown]
    logits[:, LABELS.index("sad")] += bias
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return pd.DataFrame(probs, columns=prob_columns(LABELS)).assign(
        item_id=truth["item_id"].to_numpy(),
        set_name="films",
        split="test",
        group_id=truth["item_id"].str.split(":").str[0].to_numpy(),
        run_id=run_id,
        label=None,
        predicted=np.array(LABELS)[probs.argmax(axis=1)],
    )


def measure(predictions, truth):
    """Compute criteria and accuracy of each run, as the stages of the films do."""
    frames = tables.film_and_frame(truth["item_id"])
    frames = frames.assign(n_faces=1, time_s=frames["frame"] / 24)
    film_ids = sorted(frames["film_id"].unique())
    listed = pd.DataFrame({"film_id": film_ids, "genre": ["comedy", "crime"] * 5})
    events = {"film_id": film_ids, "time_s": 1000 / 24, "event": "turn", "label": "happy"}
    described = criteria.describe_criteria(
        films.timeline(frames, predictions, labels=LABELS),
        films.summarise(frames, predictions, labels=LABELS),
        films=listed,
        events=pd.DataFrame(events),
        window_s=STUDY.films.event_window_s,
        statistics=STUDY.statistics,
    )
    known = questions.with_truth(predictions, truth)
    scores = metrics.score(known, labels=LABELS, statistics=STUDY.statistics)
    return criteria.with_accuracy(described, scores, runs=list(STUDY.runs))


def photo_faces(rng, *, noise):
    """Make photos of each design, wrong by `noise[design]`; returns faces and their truth."""
    faces, truth = [], []
    for source in ("pexels", "pixabay"):
        for design, share in noise.items():
            for i in range(300):
                item_id = f"{source}:{design}{i}"
                label, wrong = LABELS[i % 5], rng.uniform() < share
                faces.append(
                    {
                        "item_id": item_id,
                        "set_name": f"{source}-{design}",
                        "label": label,
                        "is_primary": True,
                    }
                )
                shown = LABELS[(i + 1) % 5] if wrong else label
                truth.append({"item_id": item_id, "label_true": shown, "is_blend": False})
    return pd.DataFrame(faces), pd.DataFrame(truth).assign(set_name="photos", n_faces=1)


def make_tables():
    """Everything `answer_questions` needs, with known answers."""
    truth = truth_table()
    faces, of_photos = photo_faces(np.random.default_rng(1), noise={"v1": 0.1, "v2": 0.3})
    predictions = pd.concat(
        [
            predict(truth, run, skill, seed=seed, bias=1.5 if run == "exe" else 0)
            for seed, (run, skill) in enumerate(SKILL.items())
        ],
        ignore_index=True,
    )
    return {
        "film_predictions": predictions,
        "measured": measure(predictions, truth),
        "faces": faces,
        "truth": pd.concat([truth, of_photos], ignore_index=True),
        "in_colour": predict(truth, "fer2013", -0.8, seed=9),
        "corrected": predict(truth, "exe", 3.0, seed=5, bias=0.1),
    }


@pytest.fixture(scope="module")
def made():
    return make_tables()


@pytest.fixture(scope="module")
def answers(made):
    return answer(made)


def answer(made, **changes):
    return questions.answer_questions(STUDY, **{**made, **changes}).set_index("claim_id")


def test_mixtures_have_no_true_label(made):
    known = questions.with_truth(made["film_predictions"], made["truth"])
    assert known["label"].isna().mean() == pytest.approx(0.2)


def test_skilled_models_look_more_structured_in_time(made):
    measured = made["measured"]
    assert set(measured["run_id"]) == set(STUDY.runs)
    assert measured["temporal"].corr(measured["balanced_accuracy"], method="spearman") > 0.8


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


def test_every_question_has_its_rows_and_few_models_leave_it_wide(answers):
    families = answers["family"].value_counts().to_dict()
    assert families == {"q1": 1, "q2": 1, "q3": len(criteria.CRITERIA), "q5": 4, "q6": 2}
    for source in ("pexels", "pixabay"):
        noise = answers.loc[f"q5-noise-{source}", "estimate"]
        assert noise == pytest.approx(0.2, abs=0.07), "the noise put in"
    rows = answers[answers["family"] == "q3"]
    assert rows["reason"].str.contains("5 models only").all()
    assert (rows["high"] - rows["low"]).min() > 0.5


def test_what_a_study_can_not_ask_has_no_row_or_a_reason(made):
    rows = answer(made, in_colour=None, corrected=None, measured=made["measured"].head(2))
    assert rows.loc["q2-gray-fer2013", "verdict"] == "not testable"
    assert "q6" not in set(rows["family"])
    assert (rows.loc[rows["family"] == "q3", "verdict"] == "not testable").all()
    predictions = made["film_predictions"]
    few = predictions[predictions["run_id"].isin(["pexels-v1", "fer2013"])]
    reason = answer(made, film_predictions=few, corrected=None).loc["q1-fer2013", "reason"]
    assert reason == "predictions of both are needed"


def test_too_few_films_cannot_decide(made):
    predictions = made["film_predictions"]
    few = predictions[predictions["group_id"].isin(["film0", "film1", "film2"])]
    rows = answer(made, film_predictions=few)
    assert rows.loc["q1-fer2013", "verdict"] == "not supported"
    assert rows.loc["q1-fer2013", "reason"] == "with 3 films p can't fall below 0.25"
