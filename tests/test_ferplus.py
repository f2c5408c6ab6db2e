"""The votes of FER+ join FER2013 by the right number only, and become labels as is said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_sets import write_ferplus

from exe_core.readers import (
    VOTES,
    DatasetError,
    join_votes,
    majority,
    read_fer2013,
    read_votes,
    soft_labels,
    vote_entropy,
    voter_agreement,
)
from exe_core.tables import EMOTIONS


def made_items(n: int = 300) -> pd.DataFrame:
    labels = np.random.default_rng(0).choice(EMOTIONS, n)
    numbers = [f"fer2013:{line:06d}" for line in range(n)]
    sides = ["train" if line < n - 60 else "public" for line in range(n)]
    return pd.DataFrame({"item_id": numbers, "label": labels, "split_given": sides})


def votes_row(**votes: int) -> pd.DataFrame:
    return pd.DataFrame([dict.fromkeys(VOTES, 0) | {f"votes_{k}": n for k, n in votes.items()}])


def test_the_published_file_joins_line_by_line_and_its_names_do_not(tmp_path: Path) -> None:
    items = made_items()
    votes = read_votes(write_ferplus(tmp_path / "fer2013new.csv", items))
    assert votes["line"].tolist() == list(range(300))
    assert votes["image"].isna().sum() == 20  # images without a face have no name
    assert votes["image"][298] == 293  # and some of them are not counted
    joined = join_votes(items, votes)
    assert joined["item_id"].tolist() == items["item_id"].tolist()
    assert voter_agreement(joined) == 1
    with pytest.raises(DatasetError, match=r"joined by image agrees with 0\.\d\d .*chance"):
        join_votes(items, votes, by="image")


def test_a_table_with_image_numbers_joins_the_numbers_of_a_folder(tmp_path: Path) -> None:
    items = made_items()
    published = read_votes(write_ferplus(tmp_path / "fer2013new.csv", items))
    folder = items.assign(item_id=[f"fer2013:{n}" for n in published["image"]])
    votes = read_votes(write_ferplus(tmp_path / "ferplus.csv", items, published=False))
    assert votes["line"].isna().all()
    joined = join_votes(folder, votes)
    assert len(joined) == 280
    assert voter_agreement(joined) == 1


def test_votes_that_are_all_tied_join_nothing(tmp_path: Path) -> None:
    items = made_items()
    votes = read_votes(write_ferplus(tmp_path / "ferplus.csv", items, published=False))
    tied = votes.assign(votes_happy=9, votes_sad=9)
    with pytest.raises(DatasetError, match="agrees with nan"):
        join_votes(
            items, tied.assign(**{name: 0 for name in VOTES if name[6:9] not in ("hap", "sad")})
        )


def test_numbers_of_another_count_are_refused(tmp_path: Path) -> None:
    items = made_items()
    votes = read_votes(write_ferplus(tmp_path / "ferplus.csv", items, published=False))
    shifted = votes.assign(image=votes["image"] + 1)
    with pytest.raises(DatasetError, match="not those of the votes"):
        join_votes(items, shifted)
    with pytest.raises(DatasetError, match="no image of 300 has votes"):
        join_votes(items, votes.assign(image=votes["image"] + 10_000))
    with pytest.raises(DatasetError, match="no image of 300 has votes"):
        join_votes(items.assign(item_id="fer2013:happy_a"), votes)


HEADER = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER.replace("anger", "rage") + "\nTraining,a,1,0,0,0,0,0,0,0,0,9", "no column anger"),
        (HEADER + "\nTrain,fer0.png,1,0,0,0,0,0,0,0,0,9", "Usage {'Train'} must be of Training"),
        (HEADER + "\nTraining,fer0.png,1,0,x,0,0,0,0,0,0,9", "row 0: votes are whole numbers"),
        (HEADER + "\nTraining,fer0.png,1,0,.5,0,0,0,0,0,0,9", "row 0: votes are whole numbers"),
        (HEADER + "\nTraining,fer0.png,1,-1,0,0,0,0,0,0,0,9", "row 0: votes are whole numbers"),
        (HEADER + "\nTraining,fer0.png,0,0,0,0,0,0,0,0,0,0", "row 0: votes are .* one or more"),
        (HEADER, "has no rows"),
    ],
)
def test_a_file_that_is_not_ferplus_says_so(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "fer2013new.csv"
    path.write_text(text + "\n")
    with pytest.raises(DatasetError, match=message):
        read_votes(path)
    with pytest.raises(DatasetError, match=r"absent\.csv is not in folder"):
        read_votes(tmp_path / "absent.csv")


def test_votes_for_no_label_are_dropped_or_given_as_is_said() -> None:
    votes = votes_row(happy=4, neutral=2, contempt=2, unknown=2)
    happy, neutral, disgust = (EMOTIONS.index(name) for name in ("happy", "neutral", "disgust"))
    assert soft_labels(votes)[0, [happy, neutral]] == pytest.approx([4 / 6, 2 / 6])
    assert soft_labels(votes, contempt="disgust")[0, disgust] == pytest.approx(2 / 8)
    assert soft_labels(votes, unknown="spread")[0, happy] == pytest.approx((4 + 2 / 7) / 8)
    assert soft_labels(votes, labels=["happy", "sad"])[0] == pytest.approx([1, 0])
    with pytest.raises(DatasetError, match="contempt: 'scorn' must be drop or of angry"):
        soft_labels(votes, contempt="scorn")
    assert votes["votes_contempt"][0] == 2


@pytest.mark.parametrize(
    "row", [{"no_face": 10}, {"no_face": 5, "happy": 5}, {"unknown": 6, "contempt": 4}]
)
def test_where_no_label_can_be_said_it_is_undefined(row: dict[str, int]) -> None:
    soft = soft_labels(votes_row(**row))
    assert np.isnan(soft).all()
    assert majority(soft).tolist() == [None]
    assert np.isnan(vote_entropy(soft)).all()


def test_majority_and_entropy_of_known_votes() -> None:
    rows = [votes_row(sad=10), votes_row(sad=5, fear=5), votes_row(sad=5, fear=4, contempt=1)]
    soft = soft_labels(pd.concat(rows))
    assert majority(soft).tolist() == ["sad", None, "sad"]
    assert vote_entropy(soft[:2]) == pytest.approx([0, 1])


@given(st.lists(st.lists(st.integers(0, 10), min_size=10, max_size=10), min_size=1, max_size=8))
@settings(deadline=None)
def test_soft_labels_are_probabilities_or_undefined(rows: list[list[int]]) -> None:
    votes = pd.DataFrame(rows, columns=VOTES)
    for unknown in ("drop", "spread"):
        soft = soft_labels(votes, unknown=unknown)
        defined = ~np.isnan(soft).any(axis=1)
        assert np.isnan(soft[~defined]).all()
        assert np.allclose(soft[defined].sum(axis=1), 1)
        assert (soft[defined] >= 0).all()
        assert (vote_entropy(soft[defined]) <= np.log2(7) + 1e-9).all()


@pytest.mark.slow
def test_the_real_votes_agree_with_the_real_labels(tmp_path: Path) -> None:
    given = Path(os.environ.get("EXE_DATA", ""))
    if not (given / "ferplus.csv").is_file() or not (given / "fer2013.tar.xz").is_file():
        pytest.skip("EXE_DATA names no folder with ferplus.csv and fer2013.tar.xz")
    table = read_fer2013(given / "fer2013.tar.xz", unpacked=tmp_path / "fer2013")
    items = table.assign(item_id="fer2013:" + table["name"])
    votes = read_votes(given / "ferplus.csv")
    joined = join_votes(items, votes)
    assert len(joined) > 0.99 * len(items)
    assert voter_agreement(joined) > 0.64
    with pytest.raises(DatasetError, match=r"agrees with 0\.1[78]"):
        join_votes(items, votes.assign(image=votes["image"] + 1))
