"""Any image file becomes upright RGB, whole or smaller, or a reason why not."""

from __future__ import annotations

import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exe_core.faces import ImageError, read_image, read_reduced

RED, GREEN, BLUE, GRAY = (250, 10, 10), (10, 250, 10), (10, 10, 250), (120, 120, 120)


def quadrants() -> Image.Image:
    """A picture that tells which way is up: red green / blue gray."""
    pixels = np.empty((40, 60, 3), np.uint8)
    pixels[:20, :30], pixels[:20, 30:], pixels[20:, :30], pixels[20:, 30:] = RED, GREEN, BLUE, GRAY
    return Image.fromarray(pixels)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def stored_turned(image: Image.Image, path: Path, orientation: int, **options: object) -> Path:
    """Save an image as a camera held otherwise does: turned, with a note of it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = image.transpose(TURNS[orientation]) if orientation > 1 else image
    return saved(stored, path, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_read_upright(tmp_path: Path, orientation: int) -> None:
    image = read_image(stored_turned(quadrants(), tmp_path / "a.png", orientation))
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
    monkeypatch.setattr("exe_core.faces.MAX_PIXELS", 2400)
    assert read_image(saved(quadrants(), tmp_path / "fits.png")).shape == (40, 60, 3)
    monkeypatch.setattr("exe_core.faces.MAX_PIXELS", 2399)
    with pytest.raises(ImageError, match="too large: 60 x 40 px"):
        read_image(saved(quadrants(), tmp_path / "large.png"))


def chunk(name: bytes, content: bytes) -> bytes:
    checked = name + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(20_000, 10_001), (16_000, 13_000), (50_000, 50_000)])
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    said = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(2000)))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + said + data)
    with pytest.raises(ImageError, match=r"too large: .*200 megapixels"):
        read_image(tmp_path / "bomb.png")


def test_a_program_is_no_image(tmp_path: Path) -> None:
    """Pillow would hand PostScript to Ghostscript."""
    text = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n"
    (tmp_path / "photo.jpg").write_text(text)
    with pytest.raises(ImageError, match="not an image"):
        read_image(tmp_path / "photo.jpg")


def smooth(width: int, height: int) -> Image.Image:
    """A picture whose every part differs from the others, and that blocks of a few px keep."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    bands = (200 * x + 20, 200 * y + 20, 120 + 80 * np.sin(5 * (x + y)))
    return Image.fromarray(np.stack(bands, axis=2).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("least", [40, 75, 120, 301, 640])
def test_a_smaller_decode_shows_the_same_upright(
    tmp_path: Path, orientation: int, least: int
) -> None:
    path = stored_turned(smooth(603, 410), tmp_path / "a.jpg", orientation, quality=95)
    decoded = read_reduced(path, least=least)
    whole = read_image(path)
    assert decoded.size == (603, 410)
    assert decoded.reduction == {40: 8, 75: 8, 120: 4, 301: 2, 640: 1}[least]
    height, width, _ = decoded.pixels.shape
    assert width == math.ceil(603 / decoded.reduction)
    assert height == math.ceil(410 / decoded.reduction)
    expected = Image.fromarray(whole).resize((width, height), Image.Resampling.BOX)
    assert np.abs(decoded.pixels.astype(int) - np.asarray(expected)).max() <= 12


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_gray_and_printed_jpegs_are_decoded_smaller_in_colour(tmp_path: Path, mode: str) -> None:
    path = saved(smooth(400, 300).convert(mode), tmp_path / "a.jpg", quality=95)
    decoded = read_reduced(path, least=100)
    assert decoded.pixels.shape == (75, 100, 3)
    expected = Image.fromarray(read_image(path)).resize((100, 75), Image.Resampling.BOX)
    assert np.abs(decoded.pixels.astype(int) - np.asarray(expected)).max() <= 12


@pytest.mark.parametrize("kind", ["png", "webp", "tiff", "gif", "bmp"])
def test_what_cannot_be_decoded_smaller_is_averaged_after(tmp_path: Path, kind: str) -> None:
    path = saved(smooth(403, 300), tmp_path / f"a.{kind}")
    decoded = read_reduced(path, least=50)
    assert (decoded.reduction, decoded.size) == (8, (403, 300))
    assert decoded.pixels.shape == (38, 51, 3)
    first = read_image(path)[:8, :8].mean(axis=(0, 1))
    assert np.abs(decoded.pixels[0, 0] - first).max() <= 1


def test_a_cut_jpeg_is_damaged_at_any_size(tmp_path: Path) -> None:
    path = saved(smooth(400, 300), tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:-2000])
    for least in (50, 400):
        with pytest.raises(ImageError, match=r"damaged: .*truncated"):
            read_reduced(path, least=least)


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
    for least in (16, math.inf):
        try:
            image = read_reduced(path, least=least).pixels
        except ImageError:
            continue
        assert image.ndim == 3
        assert image.dtype == np.uint8
