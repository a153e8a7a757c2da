"""Photographs are counted, and those from which nothing can be learnt are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofa.errors import InputError
from ofa.images.classes import matched
from ofa.images.facts import ImageFacts
from ofa.images.files.folder import ImageFolder
from ofa.images.preprocessing import HALF
from ofa.images.reading import batches, broken_lines, left_out_lines
from ofa.quickstart.photos import count_photos
from tests.helpers.photographs import write_classes


def test_photographs_are_counted(photos: Path, tmp_path: Path) -> None:
    found = count_photos(photos)
    assert (found.trained, found.held_out, found.classes, found.own_val) == (90, 30, 3, False)
    assert found.decode_s > 0
    (tmp_path / "few").mkdir()
    write_classes(tmp_path / "few", {"train": 33, "val": 7}, 2)
    (tmp_path / "few" / "train" / "class1" / "notes.txt").touch()
    for path in sorted((tmp_path / "few" / "train" / "class0").iterdir())[:29]:
        path.unlink()
    write_classes(tmp_path / "few", {"train/more": 40}, 1)
    found = count_photos(tmp_path / "few")
    assert (found.trained, found.held_out, found.own_val) == (70, 14, True)
    assert any(line == "few photographs, under 10: class0" for line in found.lines)
    assert any("1 file is left out: 1 .txt" in line for line in found.lines)


def test_every_line_is_one_whatever_the_folder_is_called(tmp_path: Path) -> None:
    """Also those of later commands: of broken images, and of classes that are not there."""
    path = tmp_path / "my\nphotos\x1b[2J"
    path.mkdir()
    write_classes(path, {".": 40}, 2)
    (path / "class0" / "notes.txt").touch()
    (path / "class1" / "broken.png").touch()
    folder = ImageFolder(path)
    assert sum(len(labels) for _, labels in batches(folder, 32, 100)) == 80
    _, lacking = matched(folder, ImageFacts(*HALF, classes=("class0", "class1", "none")), 3, source=Path("W"))
    lines = [*count_photos(path).lines, *broken_lines(folder), *left_out_lines(folder), lacking or ""]
    assert len(lines) == 5
    assert [line for line in lines if not line.isprintable() or "my\\nphotos\\x1b[2J" not in line] == []


@pytest.mark.parametrize(
    ("counts", "classes", "message"),
    [
        (
            {".": 20},
            3,
            "has 60 photographs to learn from: at least 80 are needed, and a hundred of each class are better",
        ),
        ({".": 100}, 1, "has one class folder, class0: at least two classes are needed"),
        ({"train": 20, "val": 9}, 2, "has 40 photographs to learn from: at least 64"),
    ],
)
def test_too_little_is_refused_in_a_plain_line(
    tmp_path: Path, counts: dict[str, int], classes: int, message: str
) -> None:
    write_classes(tmp_path / "p", counts, classes)
    with pytest.raises(InputError, match=message):
        count_photos(tmp_path / "p")


def test_photographs_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "p" / name).mkdir(parents=True)
        for i in range(60):
            (tmp_path / "p" / name / f"{i}.jpg").write_bytes(b"\xff\xd8\xff" + bytes(100))
    with pytest.raises(InputError, match=r"16 of 16 photographs that were tried cannot be read, such as a/0\.jpg: "):
        count_photos(tmp_path / "p")
