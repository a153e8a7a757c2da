"""Image folders and zips: layouts, labels, preparation, and what is broken."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ofa.errors import InputError
from ofa.images.classes import IMAGENETTE, read_classes
from ofa.images.files.folder import ImageFolder
from ofa.images.pixels import decoding
from ofa.images.preprocessing import HALF, load_image, normalisation
from ofa.images.reading import batches, broken_lines, random_indices


def encoded(color: int | tuple[int, int, int] = 0, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> bytes:
    held = io.BytesIO()
    Image.new(mode, size, color).save(held, "PNG")
    return held.getvalue()


def write(root: Path, *names: str, content: bytes | None = None) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded() if content is None else content)
    return root


def zipped(path: Path, *names: str, content: bytes | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"" if name.endswith("/") else encoded() if content is None else content)
    return path


LAYOUT = ("train/b/1.png", "train/a/2.PNG", "val/a/3.jpg", "val/b/deep/4.png", "val/b/notes.txt", "val/b/.hidden.png")


@pytest.mark.parametrize("wrapped", ["", "around/"])
def test_folder_and_zip_read_alike(tmp_path: Path, wrapped: str) -> None:
    names = [wrapped + name for name in LAYOUT]
    for path in (write(tmp_path / "folder", *names), zipped(tmp_path / "a.zip", *names)):
        folder = ImageFolder(path)
        assert folder.splits == ("train", "val")
        assert folder.classes == ("a", "b")
        assert folder.names == (f"{wrapped}val/a/3.jpg", f"{wrapped}val/b/deep/4.png")
        assert folder.labels == (0, 1)
        assert folder.read(1) == encoded()
        train = ImageFolder(path, split="train", classes={"a": 7, "b": 3})
        assert train.labels == (7, 3)
        folder.close()
        train.close()


def test_class_folders_without_splits_and_empty_classes_keep_their_number(tmp_path: Path) -> None:
    write(tmp_path / "x", "a/1.png", "c/2.png")
    (tmp_path / "x" / "b").mkdir()
    for path in (tmp_path / "x", zipped(tmp_path / "x.zip", "a/1.png", "b/", "c/2.png")):
        folder = ImageFolder(path, split="train")
        assert (folder.splits, folder.classes, folder.labels) == ((), ("a", "b", "c"), (0, 2))
        assert folder.empty_classes() == ["b"]
        folder.close()


def test_images_alone_have_no_labels(tmp_path: Path) -> None:
    folder = ImageFolder(write(tmp_path, "2.png", "1.png"))
    assert (folder.names, folder.labels, folder.labelled) == (("1.png", "2.png"), (-1, -1), False)


def test_one_class_folder_is_a_class_and_not_a_wrapping(tmp_path: Path) -> None:
    assert ImageFolder(write(tmp_path, "cats/1.png")).classes == ("cats",)


def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty" / "cats").mkdir(parents=True)
    with pytest.raises(InputError, match=r"empty holds no images"):
        ImageFolder(tmp_path / "empty")
    with pytest.raises(InputError, match=r"absent: no such folder or zip"):
        ImageFolder(tmp_path / "absent")
    write(tmp_path / "text", "file.txt", content=b"x")
    with pytest.raises(InputError, match=r"file.txt: expected a folder of images, or a zip"):
        ImageFolder(tmp_path / "text" / "file.txt")
    write(tmp_path / "train-only", "train/a/1.png")
    with pytest.raises(InputError, match="has no folder val, only train"):
        ImageFolder(tmp_path / "train-only")
    write(tmp_path / "mixed", "a/1.png", "2.png")
    with pytest.raises(InputError, match=r"2\.png lies beside the class folders"):
        ImageFolder(tmp_path / "mixed")
    with pytest.raises(InputError, match="does not know the folders a, b"):
        ImageFolder(write(tmp_path / "unmapped", "a/1.png", "b/1.png"), classes={"c": 0})


def test_zip_members_that_lead_elsewhere_are_not_looked_at(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", "a/1.png", "../../evil/2.png", "/etc/3.png", "b/../4.png", "__MACOSX/a/5.png")
    folder = ImageFolder(path)
    assert folder.names == ("a/1.png",)
    assert folder.read(0) == encoded()
    folder.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip"]


def test_image_is_resized_by_the_crop_ratio_and_cut_at_the_centre() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    found = load_image(held.getvalue(), 56, *HALF)
    # 56 / 0.875 = 64: the shorter side; 128 becomes int(128 * 64 / 96) = 85, cut from round((85 - 56) / 2) = 14
    resized = Image.fromarray(pixels).resize((85, 64), Image.Resampling.BILINEAR).crop((14, 4, 70, 60))
    expected = (np.asarray(resized, np.float32) / 255 - 0.5) / 0.5
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected.transpose(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize(("mode", "color"), [("L", 255), ("P", 0), ("RGBA", (255, 0, 0, 255))])
def test_every_colour_mode_becomes_rgb(mode: str, color: int) -> None:
    image = load_image(encoded(color, mode=mode), 16)
    assert image.shape == (3, 16, 16)
    if mode == "L":
        expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
        torch.testing.assert_close(image[:, 3, 5], expected)


def test_broken_images_are_skipped_with_a_count_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "a/1.png", "a/3.png", "b/4.png")
    write(tmp_path, "a/2.png", content=b"not an image")
    write(tmp_path, "b/5.png", content=encoded()[:50])
    folder = ImageFolder(tmp_path)
    sizes = [(len(images), labels.tolist()) for images, labels in batches(folder, 16, 2)]
    assert sizes == [(1, [0]), (2, [0, 1])]
    list(batches(folder, 16, 2))
    assert capsys.readouterr() == ("", "")  # who prints is the command
    (line,) = broken_lines(folder, ImageFolder(tmp_path), folder, None)
    assert line == (
        f"warning: {tmp_path}: 2 broken images are skipped: a/2.png, b/5.png; "
        "the first: UnidentifiedImageError: no image of a known kind (--strict makes this an error)"
    )
    broken: list[str] = []
    assert len(list(batches(folder, 16, 2, limit=3, broken=broken))) == 2
    assert broken == ["a/2.png"]
    with pytest.raises(InputError, match=r"a/2\.png cannot be read as an image: UnidentifiedImageError"):
        list(batches(folder, 16, 2, strict=True))
    with pytest.raises(InputError, match="none of 1 images can be read"):
        list(batches(folder, 16, 2, indices=[1]))


def test_decompression_bombs_and_damaged_members_are_broken_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "a.zip", "a/1.png", "a/2.png")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"IDAT") + 6] ^= 0xFF  # the first member's checksum no longer fits
    path.write_bytes(raw)
    broken: list[str] = []
    folder = ImageFolder(path)
    assert len(list(batches(folder, 16, 8, broken=broken))) == 1
    folder.close()
    monkeypatch.setattr(decoding, "MOST_PIXELS", 800)
    with pytest.raises(InputError, match="none of 1 images"):
        list(batches(ImageFolder(write(tmp_path / "bomb", "a/1.png")), 16, 8, broken=broken))
    assert broken == ["a/1.png", "a/1.png"]


def test_worker_processes_give_the_same_batches(tmp_path: Path) -> None:
    names = [f"{c}/{i}.png" for c in "ab" for i in range(3)]
    folder = ImageFolder(zipped(tmp_path / "a.zip", *names))
    alone, shared = (list(batches(folder, 16, 4, workers=workers)) for workers in (0, 1))
    folder.close()
    assert len(alone) == len(shared) == 2
    for (images, labels), (others, other_labels) in zip(alone, shared, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, other_labels)


def test_random_choice_is_repeatable_and_within_bounds(tmp_path: Path) -> None:
    folder = ImageFolder(write(tmp_path, *(f"a/{i}.png" for i in range(9))))
    assert random_indices(folder, 4, 1) == random_indices(folder, 4, 1) != random_indices(folder, 4, 2)
    assert random_indices(folder, 99) != sorted(random_indices(folder, 99)) == list(range(9))


def test_class_files(tmp_path: Path) -> None:
    assert read_classes("imagenette") == IMAGENETTE
    for text in ('{"cat": 1, "dog": 0}', "cat 1\ndog 0\n", "dog domestic, barks\ncat tabby\n"):
        (tmp_path / "classes").write_text(text)
        assert read_classes(tmp_path / "classes") == {"cat": 1, "dog": 0}
    for text, fault in [('{"cat": -1}', "cat' is -1"), ("a\na\n", "classes:2: 'a' is listed twice"), ("{", "not JSON")]:
        (tmp_path / "classes").write_text(text)
        with pytest.raises(InputError, match=fault):
            read_classes(tmp_path / "classes")


def test_class_numbers_are_never_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "classes"
    path.write_bytes("\ufeffpolar bear 1\nÄpfel\t0\n".encode())
    assert read_classes(path) == {"polar bear": 1, "Äpfel": 0}
    path.write_text("n02690373 Boeing 747\nn01440764 tench\n")
    assert read_classes(path) == {"n02690373": 0, "n01440764": 1}
    for text in ("a -1\nb 0\n", "a 3\nb\n"):  # by position, a would be class 0
        path.write_text(text)
        with pytest.raises(InputError, match=r"classes:1: 'a' is given the number '-?\d', but not all lines have"):
            read_classes(path)
    path.write_bytes("Äpfel 0".encode("cp1252"))
    with pytest.raises(InputError, match="is not UTF-8"):
        read_classes(path)


def test_normalisation_by_name_and_number() -> None:
    assert normalisation("half") == HALF
    assert normalisation("0.5", "0.25,0.5,1") == ((0.5, 0.5, 0.5), (0.25, 0.5, 1.0))
    for arguments, fault in [
        (("0.5",), "needs --std"),
        (("half", "0"), "more than 0"),
        (("half", "x"), "--std is 'x'"),
    ]:
        with pytest.raises(InputError, match=fault):
            normalisation(*arguments)
