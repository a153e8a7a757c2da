"""Labels from a CSV beside the images."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ofa.errors import InputError
from ofa.images.files.folder import ImageFolder

Make = Callable[..., Path]

ANSWERS = {"1.png": "cat", "2.png": "dog", "3.png": "cat"}


@pytest.mark.parametrize(
    "text",
    [
        "1.png,cat\n2.png,dog\n3.png,cat\n",
        "file,label\n1.png,cat\n2.png,dog\n3.png,cat\n",
        "label,Image\ncat,1.png\ndog,2.png\ncat,3.png\n",
        "image_id;when;class\n1;2020, May;cat\n2;2021, May;dog\n3;;cat\n",
        '"filename"\t"category"\r\n"1.png"\t"cat"\r\n"./2.png"\t"dog"\r\n\r\n"3.png"\t" cat "\r\n',
        ",file,label\n0,1.png,cat\n1,2.png,dog\n2,3.png,cat\n",
        ",file,Art\n0,1.png,cat\n1,2.png,dog\n2,3.png,cat\n",
        "Foto;Art\n1.png;cat\n2.png;dog\n3.png;cat",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_common_way_to_write_two_columns(make: Make, text: str, encoding: str) -> None:
    folder = ImageFolder(make(*ANSWERS, others={"labels.csv": text.encode(encoding)}))
    assert (folder.classes, folder.class_index) == (("cat", "dog"), {"cat": 0, "dog": 1})
    assert dict(zip(folder.names, (folder.classes[i] for i in folder.labels), strict=True)) == ANSWERS
    assert folder.left_out == ()


def test_300_images_keep_their_labels_whatever_the_order_of_lines(make: Make) -> None:
    images = [f"{i:03}.png" for i in range(300)]
    lines = [f"{name},class{(7 * i) % 11}" for i, name in enumerate(images)]
    folder = ImageFolder(make(*images, others={"truth.csv": "\n".join(reversed(lines)).encode()}))
    assert [folder.classes[label] for label in folder.labels] == [f"class{(7 * i) % 11}" for i in range(300)]


def test_numbers_are_sorted_as_numbers(make: Make) -> None:
    images = [f"{i}.png" for i in range(12)]
    rows = "".join(f"{name},{name.removesuffix('.png')}\n" for name in images)
    folder = ImageFolder(make(*images, others={"labels.csv": rows.encode()}))
    assert folder.classes == tuple(str(i) for i in range(12))
    assert dict(zip(folder.names, folder.labels, strict=True)) == {f"{i}.png": i for i in range(12)}


def test_labels_may_lie_around_the_folder_of_images(make: Make) -> None:
    table = b"file,label\nphotos/1.png,cat\n2.png,dog\nphotos\\3.png,cat\n"
    folder = ImageFolder(make(*(f"photos/{name}" for name in ANSWERS), others={"labels.csv": table}))
    assert [folder.classes[label] for label in folder.labels] == ["cat", "dog", "cat"]


def test_each_split_may_have_its_own_table_of_names_that_occur_in_all(make: Make) -> None:
    path = make("train/1.png", "train/2.png", "test/1.png", "test/2.png",
                others={"train.csv": b"id,label\n1,cat\n2,dog\n", "test.csv": b"id,label\n1,dog\n2,cat\n"})  # fmt: skip
    for split, labels in (("train", (0, 1)), ("test", (1, 0))):
        assert ImageFolder(path, split=split).labels == labels


def test_one_table_may_tell_of_several_splits(make: Make) -> None:
    table = b"train/1.png,cat\ntrain/2.png,dog\nval/1.png,dog\n"
    path = make("train/1.png", "train/2.png", "val/1.png", others={"labels.csv": table})
    train, val = ImageFolder(path, split="train"), ImageFolder(path)
    assert (train.labels, val.labels, val.classes) == ((0, 1), (1,), ("cat", "dog"))
    assert train.left_out == val.left_out == ()


def test_what_does_not_fit_is_counted_and_named(make: Make) -> None:
    table = b"1.png,cat\n2.png,dog\n1.png,cat\nabsent.png,cat\ngone.png,dog\n../../etc/passwd.png,dog\n"
    folder = ImageFolder(make("1.png", "2.png", "3.png", others={"labels.csv": table, "notes.txt": b""}))
    assert folder.names == ("1.png", "2.png")
    assert folder.left_out_line() == (
        f"{folder.path}: 6 files are left out: "
        "3 lines of labels.csv whose file is not there (../../etc/passwd.png, ...), "
        "1 .txt, 1 images that labels.csv does not list (3.png), 1 lines of labels.csv that repeat a file (1.png)"
    )


def test_a_name_that_two_images_have_is_not_guessed(make: Make) -> None:
    table = b"train/1.png,cat\n1.png,dog\n"
    folder = ImageFolder(make("train/1.png", "val/1.png", others={"labels.csv": table}), split="train")
    assert folder.labels == (0,)
    assert [item.kind for item in folder.left_out] == ["lines of labels.csv whose file is not there"]


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (b"1.png,cat\n1.png,dog\n", r"labels\.csv:2: 1\.png is dog, but line 1 says cat"),
        (b"1.png,cat\n2.png,\n", r"labels\.csv:2: 2\.png has no label"),
        (b"file,label\n1.png,cat\n2.png\n", r"labels\.csv:3: 1 column, expected a file and its label"),
        (b"a.png,cat\nb.png,dog\n", r"labels\.csv: none of the files that it lists is there, the first is a\.png"),
        (b"1.png,cat,7\n2.png,dog,8\n", r"more than two columns: name them in the first line, such as file,label"),
        (b"file,label\n1.png,cat, tabby\n2.png,dog\n", r"labels\.csv:2: 3 columns, expected 2: put a label with a del"),
        (b"file,split,animal\n1.png,train,cat\n2.png,val,dog\n", r"none of its columns file, split, animal is called"),
        (b"file,cat,dog\n1.png,1,0\n2.png,0,1\n", r"none of its columns file, cat, dog is called label or class"),
        (b"\n\n", r"labels\.csv: is empty"),
        ("1.png,Kätzchen\n".encode("cp1252"), r"labels\.csv: is not UTF-8: save it as CSV in UTF-8"),
        (b'1.png,"cat\n2.png,dog\n', r"labels\.csv: line 2: unexpected end of data"),
    ],
)
def test_a_wrong_line_is_named(make: Make, table: bytes, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        ImageFolder(make(*ANSWERS, others={"labels.csv": table}))


def test_class_folders_go_before_tables_and_other_tables_are_left_out(make: Make) -> None:
    folder = ImageFolder(make("a/1.png", "b/2.png", others={"labels.csv": b"1.png,x\n2.png,y\n"}))
    assert (folder.classes, [item.kind for item in folder.left_out]) == (("a", "b"), [".csv"])


def test_a_table_of_something_else_gives_no_labels(make: Make) -> None:
    folder = ImageFolder(make("1.png", "2.png", others={"sizes.csv": b"place,metres\nhere,3\nthere,4\n"}))
    assert (folder.labels, [item.kind for item in folder.left_out]) == ((-1, -1), [".csv"])


def test_a_class_mapping_applies_to_a_table_too(make: Make) -> None:
    path = make("1.png", "2.png", others={"labels.csv": b"1.png,cat\n2.png,dog\n"})
    assert ImageFolder(path, classes={"cat": 281, "dog": 207}).labels == (281, 207)
    with pytest.raises(InputError, match="does not know"):
        ImageFolder(path, classes={"cat": 281})
