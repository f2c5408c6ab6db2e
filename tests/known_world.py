"""Tables of a study of the world in which the answer to each question is built in."""

import numpy as np
import pandas as pd

from exe_core import study, tables

LABELS = tables.FIVE
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
    return pd.DataFrame(probs, columns=tables.prob_columns(LABELS)).assign(
        item_id=truth["item_id"].to_numpy(),
        set_name="films",
        split="test",
        group_id=truth["item_id"].str.split(":").str[0].to_numpy(),
        run_id=run_id,
        label=None,
        predicted=np.array(LABELS)[probs.argmax(axis=1)],
    )


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
    """Everything `answer` needs, with answers known beforehand."""
    truth = truth_table()
    faces, of_photos = photo_faces(np.random.default_rng(1), noise={"v1": 0.1, "v2": 0.3})
    place = truth["item_id"].str.split(":", expand=True)
    frames = pd.DataFrame({"film_id": place[0], "frame": place[1].astype(int), "n_faces": 1})
    film_ids = sorted(frames["film_id"].unique())
    return {
        "film_predictions": pd.concat(
            [
                predict(truth, run, skill, seed=seed, bias=1.5 if run == "exe" else 0)
                for seed, (run, skill) in enumerate(SKILL.items())
            ],
            ignore_index=True,
        ),
        "frames": frames.assign(time_s=frames["frame"] / 24),
        "films": pd.DataFrame({"film_id": film_ids, "genre": ["comedy", "crime"] * 5}),
        "events": pd.DataFrame(
            {"film_id": film_ids, "time_s": 1000 / 24, "event": "turn", "label": "happy"}
        ),
        "faces": faces,
        "truth": pd.concat([truth, of_photos], ignore_index=True),
        "in_colour": predict(truth, "fer2013", -0.8, seed=9),
        "corrected": predict(truth, "exe", 3.0, seed=5, bias=0.1),
    }
