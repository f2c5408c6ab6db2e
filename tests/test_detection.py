"""Any image becomes upright RGB or a reason; faces are found and cut out alike everywhere."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exe_core.config import ROOT
from exe_core.detection import (
    Face,
    FaceFinder,
    ImageError,
    crop,
    find_faces,
    read_image,
)
from exe_core.settings import Crop
from exe_core.world.render import render_face

RED, GREEN, BLUE, GRAY = (250, 10, 10), (10, 250, 10), (10, 10, 250), (120, 120, 120)


def quadrants() -> Image.Image:
    """A picture that tells which way is up: red green / blue gray."""
    pixels = np.empty((40, 60, 3), np.uint8)
    pixels[:20, :30], pixels[:20, 30:], pixels[20:, :30], pixels[20:, 30:] = RED, GREEN, BLUE, GRAY
    return Image.fromarray(pixels)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_read_upright(tmp_path: Path, orientation: int) -> None:
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = quadrants().transpose(turn[orientation]) if orientation > 1 else quadrants()
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_image(saved(stored, tmp_path / "a.png", exif=exif))
    assert np.array_equal(image, np.asarray(quadrants()))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA", "1", "I;16", "I", "YCbCr"])
def test_every_kind_of_pixels_becomes_rgb(tmp_path: Path, mode: str) -> None:
    original = quadrants()
    if mode in ("I;16", "I"):
        deep = np.asarray(original.convert("L")).astype(np.uint16 if mode == "I;16" else np.int32)
        image = Image.fromarray(deep * 257)
    else:
        image = original.convert(mode)
    kind = {"CMYK": "jpg", "YCbCr": "jpg", "I": "tiff"}.get(mode, "png")
    read = read_image(saved(image, tmp_path / f"a.{kind}"))
    assert read.shape == (40, 60, 3)
    assert read.dtype == np.uint8
    if mode in ("RGB", "RGBA", "P", "CMYK", "YCbCr"):
        assert np.abs(read[5, 5].astype(int) - RED).max() < 45
    elif mode != "1":
        expected = np.asarray(original.convert("L")).astype(int)
        assert np.abs(read - expected[..., None]).max() <= 1


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (20, 20), (10, 20, 30, 0))
    assert np.all(read_image(saved(image, tmp_path / "a.png")) == 255)


def bytes_of(kind: str) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jpg", b"", "empty file"),
        ("text.jpg", b"no image at all, only some words", "not an image"),
        ("cut.jpg", bytes_of("JPEG")[:2000], "damaged: .*truncated"),
        ("cut.png", bytes_of("PNG")[:2000], "damaged: .*truncated"),
        ("head.png", bytes_of("PNG")[:20], "not an image|damaged"),
    ],
)
def test_a_bad_file_gives_its_reason(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=reason):
        read_image(tmp_path / name)


def test_images_that_can_hold_no_face_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ImageError, match="too small: 1 x 1 px"):
        read_image(saved(Image.new("RGB", (1, 1)), tmp_path / "dot.png"))
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="no known range"):
        read_image(saved(Image.new("F", (20, 20)), tmp_path / "float.tiff"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="too large"):
        read_image(saved(quadrants(), tmp_path / "large.png"))


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"]),
    changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=12),
    length=st.floats(0, 1),
)
def test_no_damage_leads_to_another_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, changes: list, length: float
) -> None:
    content = bytearray(bytes_of(kind))
    for place, value in changes:
        content[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[: int(length * len(content))])
    try:
        image = read_image(path)
    except ImageError:
        return
    assert image.ndim == 3
    assert image.dtype == np.uint8


BORDER_BOXES = [Face(x, y, 30, 36, 0.9) for x in (0, 45, 90 - 30) for y in (0, 20, 64 - 36)]


@pytest.mark.parametrize("box", BORDER_BOXES)
def test_a_photo_and_a_frame_give_the_same_crop_at_each_border(tmp_path: Path, box: Face) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (64, 90, 3), dtype=np.uint8)
    photo = read_image(saved(Image.fromarray(frame), tmp_path / "a.png"))
    decoded = np.ascontiguousarray(frame[..., ::-1])[..., ::-1]  # as a BGR decoder gives it
    cut = crop(photo, box, size=48, margin=0.25)
    assert np.array_equal(cut, crop(decoded, box, size=48, margin=0.25))
    side = round(36 * 1.5)
    padded = np.pad(frame, ((side, side), (side, side), (0, 0)), mode="edge")
    inside = Face(box.x + side, box.y + side, box.width, box.height, 0.9)
    assert np.array_equal(cut, crop(padded, inside, size=48, margin=0.25))


def test_a_crop_without_margin_is_the_box_itself() -> None:
    image = np.random.default_rng(2).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    kept = image.copy()
    assert np.array_equal(
        crop(image, Face(11, 7, 24, 24, 1.0), size=24, margin=0), image[7:31, 11:35]
    )
    assert np.array_equal(image, kept)


@given(x=st.integers(0, 69), y=st.integers(0, 49), width=st.integers(1, 70), margin=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_crop_of_a_plain_image_is_plain(x: int, y: int, width: int, margin: float) -> None:
    image = np.full((50, 70, 3), (9, 99, 199), np.uint8)
    cut = crop(image, Face(x, y, width, 1 + width // 2, 1.0), size=16, margin=margin)
    assert cut.shape == (16, 16, 3)
    assert np.all(cut == (9, 99, 199))


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


def test_a_face_without_an_image_has_no_share() -> None:
    assert math.isnan(Face(0, 0, 10, 10, 0.5).area_share)
