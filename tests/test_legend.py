"""The legend gives the film stills in their order, and press photos whose label is clear."""

from __future__ import annotations

from pathlib import Path

import pytest

from exe_core.open_data import film_stills, press_photos, read_legend
from exe_core.readers import DatasetError

LEGEND = """user.id,image,emotion
628,facial-expressions_2868588k.jpg,angry
628,facial-expressions_2868582k.jpg,fearful
302,Ann_Lee_0001.jpg,happiness
302,Ann_Lee_0002.jpg,neutral
dw,Ann_Lee_0002.jpg,happiness
dw,Ann_Lee_0003.jpg,contempt
dw,Bo_Al-Din_0001.jpg,SADNESS
dw,Bo_Al-Din_0001.jpg,sadness
jh,SharmilaTagore_2.jpg,HAPPINESS
jh,Avinash_30.jpg,SURPRISE
jh,Avinash_4.jpg, NEUTRAL
jh,Avinash_30.jpg,SADNESS
jh,Dileep_1.jpg,ANGER
"""


@pytest.fixture
def legend(tmp_path: Path):
    (tmp_path / "legend.csv").write_text(LEGEND)
    return read_legend(tmp_path / "legend.csv")


def test_stills_are_of_the_chosen_people_in_the_order_of_their_names(legend) -> None:
    assert film_stills(legend).to_numpy().tolist() == [
        ["Avinash_30.jpg", "film_0001.jpg", "surprise", "p01"],  # the first of two labels
        ["Avinash_4.jpg", "film_0002.jpg", "neutral", "p01"],
        ["SharmilaTagore_2.jpg", "film_0003.jpg", "happy", "p04"],
        ["facial-expressions_2868582k.jpg", "film_0004.jpg", "fear", "p05"],
        ["facial-expressions_2868588k.jpg", "film_0005.jpg", "angry", "p05"],
    ]


def test_press_photos_have_one_known_label_and_a_person(legend) -> None:
    photos = press_photos(legend).sort_values("image")
    assert photos[["image", "emotion", "person"]].to_numpy().tolist() == [
        ["Ann_Lee_0001.jpg", "happy", "Ann_Lee"],
        ["Bo_Al-Din_0001.jpg", "sad", "Bo_Al-Din"],
    ]


def test_the_order_of_the_legend_does_not_matter(legend) -> None:
    other = legend.iloc[::-1].reset_index(drop=True)
    assert press_photos(other).equals(press_photos(legend))


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "legend.csv").write_text("image,label\na.jpg,happy\n")
    with pytest.raises(DatasetError, match="no column emotion"):
        read_legend(tmp_path / "legend.csv")
    with pytest.raises(DatasetError, match=r"other\.csv is not in folder"):
        read_legend(tmp_path / "other.csv")
