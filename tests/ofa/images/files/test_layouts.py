"""Folders and zips as people have them: spellings of splits, links, odd names, other systems' zips."""

import os
import pickle
import socket
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ofa.errors import InputError
from ofa.images.files.folder import ImageFolder
from ofa.images.files.names import shown
from ofa.images.files.opening import open_images
from ofa.images.pixels import decoding
from ofa.images.reading import batches

Make = Callable[..., Path]

# ---- splits


@pytest.mark.parametrize(
    "spelled",
    [("Train", "Val", "Test"), ("training", "VALIDATION", "Testing"), ("TRAIN", "valid", "test"), ("train", "dev")],
)
def test_split_folders_however_they_are_spelled_are_no_classes(make: Make, spelled: tuple[str, ...]) -> None:
    path = make(*(f"{split}/{c}/{i}.png" for split in spelled for c in "ab" for i in range(3)))
    for split, folder in zip(("train", "val", "test"), spelled, strict=False):  # not all have a test
        opened = ImageFolder(path, split=split)
        assert opened.splits == ("train", "val", "test")[: len(spelled)]
        assert (opened.split, opened.classes, opened.labels) == (split, ("a", "b"), (0, 0, 0, 1, 1, 1))
        assert opened.names[0] == f"{folder}/a/0.png"
        assert ImageFolder(path, split=folder).names == opened.names
        opened.close()


def test_two_spellings_of_one_split_are_refused(make: Make) -> None:
    path = make("val/a/1.png", "Validation/a/2.png", "train/a/3.png")
    with pytest.raises(InputError, match=r"Validation and val are both the split val: rename or remove one"):
        ImageFolder(path)


def test_a_class_called_as_a_split_is_asked_about(make: Make) -> None:
    """Vehicles, say: neither a training run on trains alone, nor a class of all training images."""
    with pytest.raises(InputError, match=r"train is the name of a split, but bus lies beside it: rename the folder if"):
        ImageFolder(make("train/1.png", "bus/2.png", "car/3.png"))


def test_what_lies_beside_the_splits_is_counted(make: Make) -> None:
    folder = ImageFolder(make("train/a/1.png", "val/a/2.png", "extra/a/3.png", "extra/4.png", "cover.png"))
    assert folder.names == ("val/a/2.png",)
    assert folder.left_out_line() == (
        f"{folder.path}: 3 files are left out: 3 images outside train, val (cover.png, ...)"
    )


def test_splits_of_images_alone_have_no_labels(make: Make) -> None:
    assert ImageFolder(make("train/1.png", "val/2.png"), split="train").labels == (-1,)


# ---- what is left out


def test_what_is_left_out_is_counted_by_kind(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding.importlib.util, "find_spec", lambda _: None)
    others = {f"train/a/{i}.HEIC": b"" for i in range(12)} | {f"train/b/{i}.txt": b"" for i in range(5)}
    others |= {"train/b/more.zip": b"", "train/README": b"", "val/a/x.xmp": b"", "train/b/.DS_Store": b""}
    path = make("train/a/1.png", "train/b/2.png", "val/a/3.png", others=others)
    folder = ImageFolder(path, split="train")
    assert folder.left_out_line() == (
        f"{path}: 19 files are left out: 12 .heic (pip install pillow-heif reads them), 5 .txt, "
        "1 .zip (unpack it: zips within are not opened), 1 without an ending (train/README)"
    )
    assert ImageFolder(path).left_out_line() == f"{path}: 1 file is left out: 1 .xmp"


def test_nothing_left_out_is_not_spoken_of(make: Make) -> None:
    folder = ImageFolder(make("a/1.png", "b/2.jfif", "b/3.TIF", "b/4.gif", "b/5.avif", "b/6.JPE", "b/7.webp"))
    assert (len(folder), folder.left_out, folder.left_out_line()) == (7, (), None)


def test_a_folder_of_other_files_says_what_they_are(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        InputError, match=r"holds no images .*; 2 files are left out: 2 \.heic \(pip install pillow-heif"
    ):
        ImageFolder(make(others={"a/1.heic": b"", "a/2.heic": b""}))


# ---- links, pipes, closed folders


def test_a_loop_of_links_is_followed_once(tmp_path: Path, png: bytes) -> None:
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(160):
            (tmp_path / "photos" / name / f"{i}.png").write_bytes(png)
    (tmp_path / "photos" / "a" / "up").symlink_to(tmp_path / "photos", target_is_directory=True)
    (tmp_path / "photos" / "b" / "self").symlink_to(".", target_is_directory=True)
    folder = ImageFolder(tmp_path / "photos")
    assert len(folder) == 320
    assert folder.left_out_line() == (
        f"{folder.path}: 2 files are left out: 2 links to a folder that is read already (a/up, ...)"
    )


def test_a_linked_folder_and_a_linked_file_are_read(tmp_path: Path, png: bytes) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.png").write_bytes(png)
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "photos" / "a" / "2.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "photos" / "b").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "photos" / "c").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    folder = ImageFolder(tmp_path / "photos")
    assert (folder.names, folder.labels) == (("a/2.png", "b/1.png"), (0, 1))
    assert folder.read(1) == png
    assert [(item.parts, item.kind) for item in folder.left_out] == [(("c",), "links to a folder that is read already")]


def test_pipes_sockets_and_dead_links_are_no_images(tmp_path: Path, png: bytes) -> None:
    (tmp_path / "1.png").write_bytes(png)
    os.mkfifo(tmp_path / "2.png")  # whoever opened it would wait for ever
    (tmp_path / "4.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "5.png").symlink_to("5.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "3.png"))
        folder = ImageFolder(tmp_path)
    assert folder.names == ("1.png",)
    assert folder.left_out_line() == (
        f"{tmp_path}: 4 files are left out: 2 links that lead nowhere (4.png, ...), "
        "2 pipes, sockets or devices (2.png, ...)"
    )


def test_folders_that_cannot_be_opened_are_named(tmp_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png)
    scan = os.scandir

    def refusing(path: Path) -> object:  # root may open every folder, so that modes do not do here
        if path == tmp_path / "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    folder = ImageFolder(tmp_path)
    assert folder.names == ("a/1.png",)
    assert folder.left_out_line() == f"{tmp_path}: 1 file is left out: 1 folders that cannot be opened (b)"


# ---- names


def test_names_of_any_script_stay_as_they_are(make: Make) -> None:
    names = ("Kühe & Kälber/Bild 1.PNG", "猫/写真　一.png", "حيوان/٣.png", "emoji 👩‍🚀/x.png")
    folder = ImageFolder(make(*names))
    assert folder.names == tuple(sorted(names))
    assert [len(images) for images, _ in batches(folder, 8, 64)] == [4]
    assert folder.faults == {}


def test_what_cannot_be_shown_in_a_name_is_escaped(tmp_path: Path, png: bytes) -> None:
    for name in (b"a\nerror: forged.png", b"\x1b[31mred.png", b"caf\xe9.png", "abc\u202egnp.exe.png".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(png)
    folder = ImageFolder(tmp_path)
    assert set(folder.names) == {
        r"a\nerror: forged.png", r"\x1b[31mred.png", r"caf\xe9.png", r"abc\u202egnp.exe.png",
    }  # fmt: skip
    assert all(folder.read(i) == png for i in range(4))
    "\n".join(folder.names).encode()  # as hashes of them are taken


def test_every_name_is_one_line_that_can_be_encoded() -> None:
    for number in (*range(0x3000), *range(0xD800, 0xE000), 0x1F600):
        line = shown(f"x{chr(number)}y")
        assert line.encode().decode() == line
        assert len(line.splitlines()) == 1
        assert "\x1b" not in line


def test_an_umlaut_of_one_or_two_characters_is_one_class(tmp_path: Path, png: bytes) -> None:
    for form, split in (("NFC", "train"), ("NFD", "val")):
        folder = tmp_path / split / unicodedata.normalize(form, "Käfer")
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(png)
    train, val = ImageFolder(tmp_path, split="train"), ImageFolder(tmp_path)
    assert train.classes == val.classes == ("K\u00e4fer",)
    assert val.read(0) == png


# ---- zips


def members(path: Path, files: dict[str, bytes], edit: Callable[[zipfile.ZipInfo], None] = lambda _: None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # as given: ZipInfo itself would tidy it up
            edit(info)
            archive.writestr(info, content)
    return path


def test_a_zip_with_backslashes_has_folders(tmp_path: Path, png: bytes) -> None:
    names = ("top\\train\\a\\1.png", "top\\train\\b\\2.png", "top\\val\\b\\3.png", "top\\val\\a\\")
    folder = ImageFolder(members(tmp_path / "w.zip", dict.fromkeys(names, png)), split="train")
    assert (folder.names, folder.labels) == (("top/train/a/1.png", "top/train/b/2.png"), (0, 1))
    assert folder.read(1) == png
    assert ImageFolder(tmp_path / "w.zip").classes == ("a", "b")


def test_members_that_lead_elsewhere_are_counted_and_never_read(tmp_path: Path, png: bytes) -> None:
    names = ("a/1.png", "./b/2.png", "/etc/3.png", "../4.png", "a\\..\\..\\5.png", "C:\\6.png", "c/../../7.png")
    folder = ImageFolder(members(tmp_path / "x.zip", dict.fromkeys(names, png)))
    assert folder.names == ("a/1.png", "b/2.png")
    assert folder.read(1) == png
    assert folder.left_out_line() == (
        f"{folder.path}: 5 files are left out: 5 zip members that lead out of the zip (../4.png, ...)"
    )


def test_links_in_a_zip_and_resource_forks_are_no_images(tmp_path: Path, png: bytes) -> None:
    def edit(info: zipfile.ZipInfo) -> None:
        if "link" in info.filename:
            info.external_attr = 0o120777 << 16

    files = {"a/1.png": png, "a/link.png": b"/etc/passwd", "__MACOSX/a/._1.png": b"fork", "a/._1.png": b"fork"}
    folder = ImageFolder(members(tmp_path / "x.zip", files, edit))
    assert folder.names == ("a/1.png",)
    assert [item.kind for item in folder.left_out] == ["links in a zip"]


def test_names_that_macos_writes_are_utf8(tmp_path: Path, png: bytes) -> None:
    path = tmp_path / "mac.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Kühe/猫.png", png)
    raw = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        raw[raw.index(mark) + at] &= ~0x08  # no word of UTF-8
    path.write_bytes(raw)
    folder = ImageFolder(path)
    assert (folder.classes, folder.names) == (("Kühe",), ("Kühe/猫.png",))
    assert folder.read(0) == png


def test_encrypted_and_vast_members_are_broken_and_say_so(tmp_path: Path, png: bytes) -> None:
    path = members(tmp_path / "x.zip", {"1.png": png, "2.png": png, "3.png": png})
    raw = bytearray(path.read_bytes())
    second = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 1)
    raw[second + 8] |= 1  # encrypted, says the directory
    third = raw.index(b"PK\x01\x02", second + 1)
    raw[third + 24 : third + 28] = (1 << 30).to_bytes(4, "little")  # unpacks to a gigabyte, it says
    path.write_bytes(raw)
    folder = ImageFolder(path)
    assert len(next(iter(batches(folder, 8, 64)))[0]) == 1
    assert folder.faults == {
        "2.png": "it is encrypted, and zips with a password are not read",
        "3.png": "it has 1,073,741,824 bytes, more than 536,870,912",
    }


def test_a_folder_goes_to_worker_processes_whole(make: Make, png: bytes) -> None:
    folder = ImageFolder(make("a/1.png", "b/2.png"))
    folder.read(0)
    again = pickle.loads(pickle.dumps(folder))  # noqa: S301, our own
    assert (again.names, again.labels, again.read(1)) == (folder.names, folder.labels, png)


# ---- the one way in


def test_a_tar_is_told_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"\x1f\x8b" + b"\0" * 600)
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz: unpack it first"):
        open_images(tmp_path / "cifar-10-binary.tar.gz")


def test_no_command_opens_images_another_way() -> None:
    """Or it would know fewer data sets than the others: collect and export did not know CIFAR."""
    root = Path(__file__).resolve().parents[4]
    files = [*(root / "ofa").rglob("*.py"), *(root / "benchmarks").rglob("*.py")]
    assert len(files) > 100
    others = [str(f.relative_to(root)) for f in files if "ImageFolder(" in f.read_text(encoding="utf-8")]
    assert others == ["ofa/images/files/opening.py"]
