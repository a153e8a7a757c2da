"""Large, long and huge images: what becomes of them, and what is too large."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ofa.images.pixels import decoding
from ofa.images.pixels.decoding import Unreadable, decode
from ofa.images.preprocessing import CROP_RATIO, centre_crop
from tests.ofa.images.pixels.pictures import picture, saved

# ---- sizes


def old_centre_crop(image: Any, resolution: int) -> Any:
    """All of the image resized, then the centre cut out: what a box must not change."""
    short = round(resolution / CROP_RATIO)
    scale = short / min(image.size)
    width, height = (max(short, int(side * scale)) for side in image.size)
    left, top = round((width - resolution) / 2), round((height - resolution) / 2)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return image.crop((left, top, left + resolution, top + resolution))


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 600), st.integers(1, 600), st.sampled_from([16, 48, 96, 161, 224]), st.integers(0, 9))
def test_the_centre_is_that_of_the_whole_image_resized(width: int, height: int, resolution: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    expected = np.asarray(old_centre_crop(image, resolution)).astype(int)
    strip = max(width, height) > 8 * min(width, height)
    assert np.abs(np.asarray(centre_crop(image, resolution)) - expected).max() <= 2 * strip


def test_large_images_are_means_of_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 121, 3), dtype=np.uint8)
    contents = {kind: saved(Image.fromarray(pixels), kind) for kind in ("PNG", "JPEG")}
    monkeypatch.setattr(decoding, "LARGE", 3000)
    monkeypatch.setattr(decoding, "LEAST_SIDE", 40)
    monkeypatch.setattr(decoding, "BAND", 700)  # several bands
    found = decode(contents["PNG"])
    assert np.array_equal(np.asarray(found), np.asarray(Image.fromarray(pixels).reduce(2)))
    assert decode(contents["JPEG"]).size == found.size == (61, 45)


def test_of_a_long_strip_the_middle_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 1000, 3), dtype=np.uint8)
    monkeypatch.setattr(decoding, "LARGE", 4000)
    for strip, axes in ((pixels, (0, 1, 2)), (pixels.transpose(1, 0, 2), (1, 0, 2))):
        found = np.asarray(decode(saved(Image.fromarray(np.ascontiguousarray(strip)), "PNG"))).transpose(axes)
        assert np.array_equal(found, pixels[:, 400:600])


def huge_png(width: int, height: int, channels: int = 1) -> bytes:
    """A grey or coloured PNG of one shade: its rows compress a thousandfold."""
    kind = {1: 0, 3: 2, 4: 6}[channels]
    press = zlib.compressobj(1)
    row = b"\0" + b"\x80" * (width * channels)
    body = b"".join(press.compress(row) for _ in range(height)) + press.flush()

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body) + chunk(b"IEND", b"")


MEASURED = """
import re, sys
from pathlib import Path
from ofa.images.preprocessing import load_image
def most():  # kB; not getrusage, whose maximum is inherited from the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
load_image(sys.argv[1], 64)
before = most()
for path in sys.argv[2:]:
    assert load_image(Path(path).read_bytes(), 224).shape == (3, 224, 224)
print(most() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read from Linux's /proc")
def test_any_image_takes_less_than_a_gigabyte(tmp_path: Path) -> None:
    (tmp_path / "small.png").write_bytes(saved(Image.fromarray(picture()), "PNG"))
    for name in ("strip.png", "strip.gif"):
        Image.new("L", (1, 65_535), 128).save(tmp_path / name)
    Image.new("L", (18_000, 6_000), 128).save(tmp_path / "panorama.jpg")
    (tmp_path / "panorama.png").write_bytes(huge_png(18_000, 6_000, 3))
    names = ["small.png", "strip.png", "strip.gif", "panorama.jpg", "panorama.png"]
    run = [sys.executable, "-c", MEASURED, *(str(tmp_path / name) for name in names)]
    took = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)  # kB
    assert 300_000 < took < 1_000_000  # the panorama alone is 432 MB, so this is measured at all


@pytest.mark.parametrize(
    ("size", "kind", "reason"),
    [
        ((30_000, 30_000), "PNG", "30000 x 30000 pixels are more than 268,435,456"),
        ((16_000, 16_000), "PNG", "16000 x 16000 pixels would take 1.0 GB to decode"),
        ((10_000, 9_000), "WEBP", "10000 x 9000 pixels would take 1.4 GB to decode"),
        ((12_000, 9_000), "JPEG", "12000 x 9000 pixels would take"),
    ],
)
def test_what_would_take_more_is_broken_and_says_so(
    size: tuple[int, int], kind: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the header is read: the rest of these files is not even there."""
    small = saved(Image.new("RGB", (64, 64)), kind, **({"progressive": True} if kind == "JPEG" else {}))
    if kind == "PNG":
        head = b"IHDR" + struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
        content = small[:12] + head + struct.pack(">I", zlib.crc32(head)) + small[33:]
    elif kind == "JPEG":
        at = small.index(b"\xff\xc2") + 5
        content = small[:at] + struct.pack(">HH", size[1], size[0]) + small[at + 4 :]
        monkeypatch.setattr(decoding, "MOST_MEMORY", 700_000_000)  # progressive: its coefficients are all kept
    else:
        head = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0"
        content = head + (size[0] - 1).to_bytes(3, "little") + (size[1] - 1).to_bytes(3, "little")
        content = saved_webp_of(content, small)
    with pytest.raises(Unreadable, match=reason):
        decode(content)


def saved_webp_of(head: bytes, small: bytes) -> bytes:
    """An animation of the canvas in `head`, with one small frame."""
    frame = b"\0" * 6 + (63).to_bytes(3, "little") * 2 + b"\0\0\0\0" + small[12:]
    body = head[12:] + b"ANIM\x06\0\0\0" + b"\0" * 6 + b"ANMF" + len(frame).to_bytes(4, "little") + frame
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body
