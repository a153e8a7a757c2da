"""Images and their labels."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from unicodedata import category

from ..edits import DIGITS, WIDE, Edit, disks, edited, put, version, without
from ..format import Format, write
from ..sound import picture


def make_labels(folder: Path) -> None:
    write(folder / "images", {f"{i}.png": picture() for i in range(3)})
    (folder / "images" / "labels.csv").write_text("file,label\n0.png,a\n1.png,b\n2.png,a\n")


def make_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for label in ("a", "b"):
            archive.writestr(f"{label}/0.png", picture())


def read_images(path: Path) -> None:
    from ofa.images.files.opening import open_images
    from ofa.images.pixels.decoding import decode, unreadable

    folder = open_images(path)
    try:
        assert not any(category(c) in ("Cc", "Cs", "Zl", "Zp") for name in folder.classes for c in name)
        assert all(-1 <= label < len(folder.classes) for label in folder.labels)
        for i in range(len(folder)):
            try:
                decode(folder.read(i))
            except unreadable():
                continue
    finally:
        folder.close()


def make_classes(folder: Path) -> None:
    (folder / "classes.txt").write_text("a 0\nb 1\n")


def read_class_file(path: Path) -> None:
    from ofa.images.classes import read_classes

    assert all(type(n) is int and n >= 0 for n in read_classes(path).values())


def make_label_names(folder: Path) -> None:
    (folder / "labels.json").write_text('["a", "b"]')


def read_label_names(path: Path) -> None:
    from ofa.export.labels import read_labels

    assert all(isinstance(name, str) and name for name in read_labels(path, 2))


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> Edit:
    def change(_: dict[str, bytes]) -> dict[str, bytes]:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return {"images.zip": file.getvalue()}

    return change


FORMATS: Mapping[str, Format] = {
    "labels": Format("images", make_labels, read_images),
    "zip": Format("images.zip", make_zip, read_images),
    "classes": Format("classes.txt", make_classes, read_class_file),
    "label-names": Format("labels.json", make_label_names, read_label_names),
}

REFUSED: Mapping[str, Mapping[str, Edit]] = {
    "labels": {
        "empty": put("images/labels.csv", ""),
        "not-utf-8": put("images/labels.csv", b"file,label\n0.png,\xff\n"),
        "none-there": put("images/labels.csv", "file,label\n" + "x\x1b" * 900 + ",a\n"),
        "no-label": put("images/labels.csv", "file,label\n" + "0.png,\n"),
        "two-labels": put("images/labels.csv", "file,label\n0.png,a\n0.png," + "b\x1b" * 900 + "\n"),
        "columns": put("images/labels.csv", "file," + ",".join(f"c\x1b{i}" for i in range(900)) + "\n"),
        "long-field": put("images/labels.csv", "file,label\n0.png," + "x" * 200_000 + "\n"),
        "no-images": lambda files: {"images/labels.csv": files["images/labels.csv"]},
        "stray": lambda _: {"images/a/0.png": picture(), "images/\x1b1.png": picture()},
    },
    "zip": {
        "no-images": zipped(("a/x.txt", b"x")),
        "two-disks": disks("images.zip"),
        "version-104": version("images.zip"),
        "outside": zipped(("../a/0.png", picture()), ("/b/0.png", picture())),
    },
    "classes": {
        "gone": without("classes.txt"),
        "empty": put("classes.txt", ""),
        "not-utf-8": put("classes.txt", b"a\xff 0\n"),
        "twice": put("classes.txt", "a 0\na 1\n"),
        "wide": put("classes.txt", f"a {WIDE}\nb 1\n"),
        "digits": put("classes.txt", f"a {DIGITS}\nb 1\n"),
        "1e9": put("classes.txt", "a 0\nb 1000000000000\n"),
        "negative": put("classes.txt", "a -1\nb 0\n"),
        "long-twice": put("classes.txt", 2 * ("a\x1b" * 900 + " 0\n")),
        "json-label": put("classes.txt", json.dumps({"a\x1b" * 900: "b" * 900})),
        "json-1e9": put("classes.txt", '{"a": 1000000000000}'),
        "json-deep": put("classes.txt", "{" * 5000),
    },
    "label-names": {
        "gone": without("labels.json"),
        "lines-not-utf-8": put("labels.json", b"a\xff\nb\n"),
        "three": put("labels.json", '["a", "b", "c"]'),
        "numbers": put("labels.json", "[1, 2]"),
        "long": put("labels.json", json.dumps([{"x" * 3000: 1}, 2])),
        "empty-label": put("labels.json", '["a", "", "b"]'),
        "object-keys": put("labels.json", '{"0": "a", "2": "b"}'),
        "lines": put("labels.json", '["a\\nb", "c"]'),
    },
}

# what may be read, as long as it is read soundly

ODD: Mapping[str, Mapping[str, Edit]] = {
    "labels": {
        "utf-16": partial(edited, "images/labels.csv", lambda content: content.decode().encode("utf-16")),
        "escape": put("images/labels.csv", "file,label\n0.png,\x1b[31m\n1.png,b\n"),
        "digits": put("images/labels.csv", f"file,label\n0.png,{DIGITS}\n1.png,1\n"),
        "zero-byte": put("images/labels.csv", b"file,label\n0.png,a\0\n"),
        "images-damaged": put("images/0.png", b"\x89PNG\r\n\x1a\n" + bytes(40)),
        "name-not-utf-8": lambda files: {**files, "images/\udcff.png": picture()},
    },
    "zip": {
        "same-name": zipped(("a/0.png", picture()), ("a/\x1b.png", picture())),
        "bomb": zipped(("a/0.png", bytes(30_000_000))),
        "zip-in-zip": zipped(("a/0.png", picture()), ("b/0.zip", b"PK")),
        "backslashes": zipped(("a\\0.png", picture()), ("b\\0.png", picture())),
        "image-cut": zipped(("a/0.png", picture()[:50]), ("b/0.png", b"")),
    },
    "classes": {"words": put("classes.txt", "\x1b[31m 0\nb 1\n"), "odd-json": put("classes.txt", '{"\\u001b": 0}')},
}

JSON = {
    "label-names": "labels.json",
}

BINARY = {
    "zip": "images.zip",
}
