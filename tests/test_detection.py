"""Faces are found and cut out, large and small, and nothing is lost beside bad files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sample_scenes import enlarged, scene

from exe_core.faces import EYES, Face, FaceFinder, crop, find_faces, read_image, read_reduced
from exe_core.study import ROOT, Crop
from exe_world.render import render_face


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
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    large = saved(Image.new("RGB", (3000, 2000)), tmp_path / "large.jpg").read_bytes()
    (tmp_path / "large.jpg").write_bytes(large[: len(large) // 2])
    paths = [
        tmp_path / "empty.jpg",
        tmp_path / "folder.jpg",
        tmp_path / "large.jpg",
        saved(Image.new("F", (100, 80)), tmp_path / "float.tiff"),
        saved(Image.new("RGB", (100, 5)), tmp_path / "flat.png"),
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
    assert list(by_name.index) == given_items["item_id"].tolist()
    assert by_name.status.to_dict() == {
        "mixed:empty.jpg": "unreadable",
        "mixed:folder.jpg": "unreadable",
        "mixed:large.jpg": "unreadable",
        "mixed:float.tiff": "unreadable",
        "mixed:flat.png": "unreadable",
        "mixed:text.jpg": "unreadable",
        "mixed:face.png": "ok",
        "mixed:cut.jpg": "unreadable",
        "mixed:absent.jpg": "unreadable",
        "mixed:blank.png": "no face",
        "mixed:two.png": "ok",
        "mixed:gray.png": "ok",
    }
    assert by_name.error["mixed:absent.jpg"] == "no such file"
    assert by_name.error["mixed:empty.jpg"] == "empty file"
    assert "truncated" in by_name.error["mixed:large.jpg"]
    assert by_name.error[by_name.status == "unreadable"].str.len().gt(0).all()
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


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "a/../../../escaped"])
def test_no_crop_leaves_its_folder_and_no_other_photo_is_lost(
    tmp_path: Path, finder: FaceFinder, portrait: np.ndarray, name: str
) -> None:
    path = saved(Image.fromarray(portrait), tmp_path / "face.png")
    items = table_of([path, path]).assign(item_id=[f"mixed:{name}", "mixed:face.png"])
    images, faces = find_faces(
        items, finder=finder, crops=tmp_path / "crops", settings=Crop(), progress=False
    )
    assert images["status"].tolist() == ["unreadable", "ok"]
    assert "leads out of the folder of crops" in images["error"][0]
    assert len(faces) == 1
    assert [path.name for path in tmp_path.rglob("*_0.png")] == ["face.png_0.png"]


def found_in(items: pd.DataFrame, finder: FaceFinder, crops: Path, **how: object) -> pd.DataFrame:
    """The faces of items, and the sizes of their images."""
    images, faces = find_faces(
        items, finder=finder, crops=crops, settings=Crop(**how), progress=False
    )
    return faces.merge(
        images[["item_id", "height_px", "width_px"]].add_prefix("image_"),
        left_on="item_id",
        right_on="image_item_id",
    )


def face_of(row: object) -> Face:
    eyes = tuple(getattr(row, name) for name in EYES)
    return Face(row.x_px, row.y_px, row.width_px, row.height_px, row.score, eyes=eyes)


@pytest.fixture(scope="module")
def large() -> np.ndarray:
    """A picture so large that a JPEG of it is decoded smaller."""
    rng = np.random.default_rng(7)
    return enlarged(rng, scene(rng, (488, 650), share=0.2).picture, times=4)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_large_photo_gives_the_face_that_its_whole_gives(
    tmp_path: Path, finder: FaceFinder, large: np.ndarray, orientation: int
) -> None:
    turn = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    stored = Image.fromarray(large)
    exif = Image.Exif()
    exif[0x0112] = orientation
    small = saved(
        stored.transpose(turn) if turn is not None else stored,
        tmp_path / "a.jpg",
        quality=95,
        exif=exif,
    )
    assert read_reduced(small, least=711).reduction == 2
    (first,) = found_in(table_of([small]), finder, tmp_path / "crops", align=True).itertuples()
    whole = finder.find(large)[0]
    assert (first.image_width_px, first.image_height_px) == (2600, 1952)
    box = (first.x_px, first.y_px, first.width_px, first.height_px)
    near = 0.04 * whole.width
    assert box == pytest.approx((whole.x, whole.y, whole.width, whole.height), abs=near)
    assert face_of(first).eyes == pytest.approx(whole.eyes, abs=near)
    again = crop(read_image(small), face_of(first), size=128, margin=0.1, align=True)
    apart = np.abs(read_image(ROOT / first.path).astype(int) - again)
    assert apart.mean() < 3


def test_a_small_face_of_a_large_photo_is_cut_from_a_larger_decode(
    tmp_path: Path, finder: FaceFinder
) -> None:
    rng = np.random.default_rng(8)
    picture = enlarged(rng, scene(rng, (488, 650), share=0.08).picture, times=4)
    path = saved(Image.fromarray(picture), tmp_path / "a.jpg", quality=95)
    (row,) = found_in(table_of([path]), finder, tmp_path, tiles=1, size=224).itertuples()
    assert row.width_px * 1.2 / 2 < 224 < row.width_px * 1.2
    expected = crop(read_image(path), face_of(row), size=224, margin=0.1)
    assert np.array_equal(read_image(ROOT / row.path), expected)


def test_tiles_find_small_faces_and_leave_the_others_as_they_are(finder: FaceFinder) -> None:
    small = [scene(np.random.default_rng(k), (480, 640), share=0.07) for k in range(8)]
    plain = sum(bool(finder.find(one.picture)) for one in small)
    closer = [finder.find(one.picture, tiles=2) for one in small]
    is_there = [
        any(
            abs(face.x + face.width / 2 - one.face[0] - one.face[2] / 2) < one.face[2] / 2
            for face in faces
        )
        for one, faces in zip(small, closer, strict=True)
    ]
    assert plain <= 2
    assert sum(is_there) >= 6
    for k in range(4):
        picture = scene(np.random.default_rng(k), (480, 640), share=0.3).picture
        assert set(finder.find(picture)) <= set(finder.find(picture, tiles=2))


def test_eyes_lie_in_the_box_the_right_one_to_the_left(
    finder: FaceFinder, portrait: np.ndarray
) -> None:
    (face,) = finder.find(portrait)
    right_x, right_y, left_x, left_y = face.eyes
    assert face.x < right_x < left_x < face.x + face.width
    assert face.y < min(right_y, left_y) <= max(right_y, left_y) < face.y + face.height
    turned = Image.fromarray(portrait).rotate(-20, Image.Resampling.BICUBIC)
    (tilted,) = finder.find(np.asarray(turned))
    assert tilted.roll_deg - face.roll_deg == pytest.approx(20, abs=6)
