"""Faces are found and cut out, large and small, and nothing is lost beside bad files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from exe_core.config import ROOT
from exe_core.detection import FaceFinder, find_faces, read_image
from exe_core.settings import Crop
from exe_core.world.render import render_face


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def bytes_of(kind: str) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="module")
def finder() -> Iterator[FaceFinder]:
    with FaceFinder() as finder:
        yield finder


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return render_face(np.random.default_rng(3), "happy", size=160, style="selfie")


def test_faces_are_found_largest_first(finder: FaceFinder, portrait: np.ndarray) -> None:
    scene = np.full((170, 300, 3), 128, np.uint8)
    scene[5:135, 5:135] = np.asarray(Image.fromarray(portrait).resize((130, 130)))
    scene[5:165, 138:298] = portrait
    faces = finder.find(scene)
    assert len(faces) == 2
    assert faces[0].area_share > faces[1].area_share
    assert 138 <= faces[0].x + faces[0].width / 2 <= 298
    assert 5 <= faces[1].x + faces[1].width / 2 <= 135
    area = scene.shape[0] * scene.shape[1]
    assert faces[0].area_share == pytest.approx(faces[0].width * faces[0].height / area)
    assert 0.5 <= faces[0].score <= 1


def test_an_image_without_a_face_has_none(finder: FaceFinder) -> None:
    assert finder.find(np.full((200, 300, 3), 90, np.uint8)) == []


def test_boxes_lie_within_the_image(finder: FaceFinder, portrait: np.ndarray) -> None:
    for part in (portrait[:, 30:], portrait[:, :130], portrait[25:], portrait[:120]):
        for face in finder.find(part):
            assert face.x >= 0
            assert face.y >= 0
            assert face.x + face.width <= part.shape[1]
            assert face.y + face.height <= part.shape[0]


def test_a_border_finds_faces_that_fill_the_picture(finder: FaceFinder) -> None:
    rng = np.random.default_rng(4)
    tight = []
    for _ in range(12):
        image = render_face(rng, "happy", size=160, style="selfie")
        face, inset = finder.find(image)[0], 0.15
        rows = slice(int(face.y + inset * face.height), int(face.y + (1 - inset) * face.height))
        columns = slice(int(face.x + inset * face.width), int(face.x + (1 - inset) * face.width))
        tight.append(image[rows, columns])
    plain = [finder.find(image) for image in tight]
    with FaceFinder(retry_border=0.25) as patient:
        again = [patient.find(image) for image in tight]
    assert all(second == first for first, second in zip(plain, again, strict=True) if first)
    assert sum(map(bool, again)) > sum(map(bool, plain))
    assert all(0 < face.area_share <= 1 for found in again for face in found)


@pytest.mark.parametrize("shape", [(40, 40), (40, 40, 4)])
def test_other_arrays_are_refused(finder: FaceFinder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"uint8 of shape \(height, width, 3\)"):
        finder.find(np.zeros(shape, np.uint8))


def test_the_detector_is_quiet(capfd: pytest.CaptureFixture[str], portrait: np.ndarray) -> None:
    with FaceFinder() as finder:
        finder.find(portrait)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def table_of(paths: list[Path]) -> pd.DataFrame:
    names = [path.name for path in paths]
    return pd.DataFrame(
        {
            "item_id": [f"mixed:{name}" for name in names],
            "set_name": "mixed",
            "path": [str(path) for path in paths],
            "label": "happy",
            "group_id": names,
        }
    )


def test_nothing_is_lost_beside_bad_files(
    tmp_path: Path, finder: FaceFinder, portrait: np.ndarray
) -> None:
    (tmp_path / "text.jpg").write_bytes(b"words")
    (tmp_path / "cut.jpg").write_bytes(bytes_of("JPEG")[:1500])
    paths = [
        tmp_path / "text.jpg",
        saved(Image.fromarray(portrait), tmp_path / "face.png"),
        tmp_path / "cut.jpg",
        tmp_path / "absent.jpg",
        saved(Image.new("RGB", (100, 80), "gray"), tmp_path / "blank.png"),
        saved(Image.fromarray(np.hstack([portrait, portrait])), tmp_path / "two.png"),
        saved(Image.fromarray(portrait).convert("L"), tmp_path / "gray.png"),
    ]
    given_items = table_of(paths)
    images, faces = find_faces(
        given_items,
        finder=finder,
        crops=tmp_path / "crops",
        settings=Crop(size=64, primary_only=False),
        progress=False,
    )
    by_name = images.set_index("item_id")
    assert by_name.status.to_dict() == {
        "mixed:text.jpg": "unreadable",
        "mixed:face.png": "ok",
        "mixed:cut.jpg": "unreadable",
        "mixed:absent.jpg": "unreadable",
        "mixed:blank.png": "no face",
        "mixed:two.png": "ok",
        "mixed:gray.png": "ok",
    }
    assert by_name.error["mixed:absent.jpg"] == "no such file"
    assert by_name.n_faces["mixed:two.png"] == 2
    assert pd.isna(by_name.n_faces["mixed:text.jpg"])
    assert faces.groupby("item_id").is_primary.sum().eq(1).all()
    assert faces.face_id.tolist()[-1] == "mixed/mixed:gray.png/0"
    for path in faces.path:
        assert read_image(ROOT / path).shape == (64, 64, 3)
    largest, _ = find_faces(
        given_items, finder=finder, crops=tmp_path / "crops", settings=Crop(), progress=False
    )
    pd.testing.assert_frame_equal(largest, images)


def test_a_table_of_faceless_images_gives_an_empty_table_of_faces(
    tmp_path: Path, finder: FaceFinder
) -> None:
    blank = saved(Image.new("RGB", (100, 80), "gray"), tmp_path / "blank.png")
    images, faces = find_faces(
        table_of([blank]), finder=finder, crops=tmp_path, settings=Crop(), progress=False
    )
    assert len(images) == 1
    assert faces.empty
