"""What people's files become: every orientation, depth, kind of colour and transparency."""

import io
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ofa.images.files.folder import ImageFolder
from ofa.images.pixels import decoding
from ofa.images.pixels.decoded import Broken, decoded
from ofa.images.pixels.decoding import Unreadable, decode, image_size, unreadable
from ofa.images.reading import batches
from tests.ofa.images.pixels.pictures import picture, saved

CASES = Path(__file__).resolve().parents[5] / "shared" / "cases"


def case(name: str) -> bytes:
    if not (CASES / name).is_file():
        pytest.skip(f"example files are not at {CASES}")
    return (CASES / name).read_bytes()


# ---- orientation


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_set_upright(orientation: int, kind: str) -> None:
    """The image is stored turned, as a camera does, and says how."""
    upright = Image.fromarray(picture())
    turns = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),  # the camera stood a quarter turn to the right
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    content = saved(turns[orientation], kind, exif=exif, **options)
    found = decode(content)
    assert found.size == image_size(content) == (60, 40)
    difference = np.abs(np.asarray(found).astype(int) - picture())
    assert difference.max() <= (6 if kind == "JPEG" else 0)


def test_damaged_or_senseless_exif_data_are_no_damaged_image() -> None:
    for exif in (
        b"Exif\0\0garbage that is no table",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
    ):
        assert decode(saved(Image.fromarray(picture()), "JPEG", exif=b"Exif\0\0" + exif)).size == (60, 40)
    exif = Image.Exif()
    exif[0x0112] = 77
    assert decode(saved(Image.fromarray(picture()), "PNG", exif=exif)).size == (60, 40)


def test_the_example_photograph_is_upright() -> None:
    content = case("exif-orientation-6.jpg")
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    assert np.array_equal(np.asarray(decode(content)), np.asarray(expected))


# ---- depth


def png16(pixels: NDArray[np.uint16]) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write in colour."""
    height, width, channels = pixels.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff16(pixels: NDArray[np.uint16], order: str) -> bytes:
    """An uncompressed TIFF of 16 bits a channel, little-endian "<" or big-endian ">"."""
    height, width, channels = pixels.shape
    tags = [
        (256, width), (257, height), (258, 16), (259, 1), (262, 2 if channels == 3 else 1), (277, channels),
        (278, height), (279, pixels.nbytes), (284, 1),
    ]  # fmt: skip
    bits, start = struct.pack(order + "HHH", 16, 16, 16), 8
    data_at = start + len(bits)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", data_at + pixels.nbytes)
    entries = []
    for tag, value in sorted([*tags, (273, data_at)]):
        if tag == 258 and channels == 3:
            entries.append(struct.pack(order + "HHII", tag, 3, 3, start))
        else:
            entries.append(struct.pack(order + "HHII", tag, 4, 1, value))
    table = struct.pack(order + "H", len(entries)) + b"".join(entries) + struct.pack(order + "I", 0)
    return head + bits + pixels.astype(order + "u2").tobytes() + table


DEEP = (picture().astype(np.uint16) * 257)[..., :3]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["png", "tiff <", "tiff >", "pgm"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str, channels: int) -> None:
    pixels = DEEP[..., :channels]
    if kind == "png":
        content = png16(pixels)
    elif kind == "pgm":
        content = b"P%d 60 40 65535\n" % (5 if channels == 1 else 6) + pixels.astype(">u2").tobytes()
    else:
        content = tiff16(pixels, kind[-1])
    found = np.asarray(decode(content))
    expected = np.broadcast_to(pixels // 257, found.shape)
    assert np.abs(found.astype(int) - expected).max() <= (1 if kind == "pgm" else 0)


def test_the_example_of_sixteen_bits_keeps_its_shades() -> None:
    content = case("gray16.png")
    deep = np.asarray(Image.open(io.BytesIO(content)))
    assert np.array_equal(np.asarray(decode(content))[..., 0], deep >> 8)
    assert len(np.unique(deep >> 8)) > 100


def test_numbers_without_a_white_are_named_and_floats_up_to_one_are_scaled() -> None:
    shades = np.linspace(0, 1, 2400, dtype=np.float32).reshape(40, 60)
    found = np.asarray(decode(saved(Image.fromarray(shades), "TIFF")))[..., 0]
    assert np.array_equal(found, (shades * 255).round())
    for pixels, reason in [
        (shades * 300, "numbers from 0 to 300, expected 0 to 1"),
        (shades * np.nan, "numbers from nan to nan"),
        ((shades * 1e6).astype(np.int32), "32-bit whole numbers"),
    ]:
        with pytest.raises(Unreadable, match=reason):
            decode(saved(Image.fromarray(pixels), "TIFF"))


# ---- colours


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF", "palette", "colour key", "grey"])
def test_transparent_parts_are_laid_on_white(kind: str) -> None:
    pixels = np.full((40, 60, 4), (200, 30, 60, 255), np.uint8)
    pixels[:, :30, 3] = 0  # with red below it that nobody sees
    image, options, expected = Image.fromarray(pixels), {}, (200, 30, 60)
    if kind == "palette":
        image, options = Image.fromarray((pixels[..., 3] > 0).astype(np.uint8)), {"transparency": 0}
        image.putpalette([200, 30, 60, 200, 30, 60])
    elif kind == "colour key":
        image = Image.fromarray(np.where(pixels[..., 3:] > 0, pixels[..., :3], np.uint8(7)).astype(np.uint8))
        options = {"transparency": (7, 7, 7)}
    elif kind == "grey":
        image, expected = image.convert("LA"), (84, 84, 84)
    elif kind == "WEBP":
        options = {"lossless": True}
    found = np.asarray(decode(saved(image, kind if kind in ("WEBP", "TIFF", "GIF") else "PNG", **options)))
    assert np.abs(found[:, :30] - 255.0).max() == 0
    assert np.abs(found[:, 30:] - np.array(expected, float)).max() <= 1


def test_half_transparent_is_half_white() -> None:
    content = saved(Image.new("RGBA", (8, 8), (0, 100, 200, 128)), "PNG")
    assert np.abs(np.asarray(decode(content))[0, 0] - np.array([127, 177, 227.0])).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_an_animation_or_several_pages_the_first_is_taken(kind: str) -> None:
    first, *others = (Image.new("RGB", (30, 20), colour) for colour in ("red", "lime", "blue"))
    options = {"lossless": True} if kind == "WEBP" else {}
    content = saved(first, kind, save_all=True, append_images=others, **options)
    assert np.array_equal(np.asarray(decode(content)), np.asarray(first))


def test_print_colours_one_bit_and_every_container() -> None:
    assert np.asarray(decode(saved(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "JPEG")))[4, 4].tolist() == [255, 0, 0]
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (8, 4))).convert("1")
    assert np.asarray(decode(saved(stripes, "TIFF")))[0, :2].tolist() == [[0, 0, 0], [255, 255, 255]]
    for kind in ("BMP", "PPM", "AVIF"):
        found = np.asarray(decode(saved(Image.fromarray(picture()), kind)))
        assert np.abs(found.astype(int) - picture()).mean() < 3


def test_pillows_own_limit_is_as_it_was() -> None:
    before = Image.MAX_IMAGE_PIXELS
    decode(saved(Image.fromarray(picture()), "PNG"))
    with pytest.raises(unreadable()):
        decode(b"no image")
    assert before == Image.MAX_IMAGE_PIXELS


def test_an_image_that_is_done_does_not_put_back_pillows_limit_while_others_are_open() -> None:
    before, file = Image.MAX_IMAGE_PIXELS, saved(Image.fromarray(picture()), "PNG")
    first, second = decoding._opened(file), decoding._opened(file)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert Image.MAX_IMAGE_PIXELS is None
    second.__exit__(None, None, None)
    assert before == Image.MAX_IMAGE_PIXELS


def test_threads_that_open_images_at_once_lose_none() -> None:
    files = [saved(Image.fromarray(picture()), "PNG")] * 600
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            sizes = list(pool.map(image_size, files))
    finally:
        sys.setswitchinterval(before)
    assert sizes == [image_size(files[0])] * len(files)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF"])
@pytest.mark.filterwarnings("error")
def test_whatever_is_wrong_with_a_file_it_is_an_image_or_a_broken_one(kind: str) -> None:
    content = saved(Image.fromarray(picture()), kind)
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), rng.choice([100, 100_000])), 3):
            damaged[place] = rng.integers(256)
        try:
            assert decode(bytes(damaged[: rng.integers(1, 2 * len(damaged))])).mode == "RGB"
        except unreadable():
            broken += 1
    assert broken > 20


# ---- in batches


@pytest.mark.parametrize("workers", [0, 2])
def test_numbers_travel_with_results_whatever_is_broken(tmp_path: Path, workers: int) -> None:
    """300 images of 300 shades, some broken, in an order of their own, in batches that do not divide."""
    for i in range(300):
        content = b"no image" if i % 29 == 3 else saved(Image.new("L", (9, 9), i // 2 + 50), "PNG")
        (tmp_path / f"{i:03}.png").write_bytes(content)
    folder = ImageFolder(tmp_path)
    order = np.random.default_rng(0).permutation(300)[:250].tolist()
    rows = [row for batch in decoded(folder, order, 64, shade, workers=workers) for row in batch]
    assert [n for n, _ in rows] == list(range(250))
    for n, result in rows:
        i = order[n]
        assert isinstance(result, Broken) if i % 29 == 3 else result == (i // 2 + 50, n)
    expected = {f"{i:03}.png" for i in order if i % 29 == 3}
    assert set(folder.faults) == expected
    assert set(folder.faults.values()) == {"UnidentifiedImageError: no image of a known kind"}
    broken: list[str] = []
    assert sum(len(images) for images, _ in batches(folder, 8, 64, indices=order, broken=broken)) == 250 - len(broken)
    assert set(broken) == expected


def shade(image: Any, n: int) -> tuple[int, int]:
    return image.getpixel((4, 4))[0], n


def test_heic_is_read_where_its_package_is() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    found = np.asarray(decode(saved(Image.fromarray(picture(128, 96)), "HEIF", quality=95)))
    assert np.abs(found.astype(int) - picture(128, 96)).mean() < 4


def test_heic_without_its_package_says_what_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding.importlib.util, "find_spec", lambda _: None)
    decoding._register_heif.cache_clear()
    with pytest.raises(Unreadable, match="pip install pillow-heif reads it"):
        decode(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    decoding._register_heif.cache_clear()
