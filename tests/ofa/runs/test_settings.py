"""What identifies a run: content, never names or places; and where two runs differ first."""

import hashlib
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from ofa.cli.config import Config, Free, Input
from ofa.errors import InputError
from ofa.runs import settings
from ofa.runs.files import sha256
from ofa.runs.settings import Difference, file_identity, first_difference, identity_of, shown


def named(name: str) -> Path | None:
    return None if name == "builtin" else Path(name)


@dataclass(frozen=True, kw_only=True)
class Run(Config):
    data: Annotated[Path, Input(images=True)]
    checkpoints: Annotated[tuple[Path, ...], Input()] = ()
    classes: Annotated[str | None, Input(find=named)] = None
    epochs: int = 3
    share: float = 0.5
    workers: Annotated[int, Free()] = 0
    out: Annotated[Path, Free()] = Path("out")


def photographs(folder: Path, count: int = 300) -> Path:
    for i in range(count):
        (folder / f"class{i % 3}").mkdir(parents=True, exist_ok=True)
        (folder / f"class{i % 3}" / f"{i}.jpg").write_bytes(b"x" * (i + 1))
    return folder


def test_free_fields_are_left_out_and_inputs_are_their_content(tmp_path: Path) -> None:
    data, weights = photographs(tmp_path / "photos"), tmp_path / "w.safetensors"
    weights.write_bytes(b"weights")
    run = Run(data=data, checkpoints=(weights,), workers=3, out=tmp_path)
    identity = identity_of(run, resolutions=(128, 160))
    assert list(identity) == ["data", "checkpoints", "classes", "epochs", "share", "resolutions"]
    assert identity["resolutions"] == [128, 160]
    assert identity == identity_of(Run(data=data, checkpoints=(weights,), workers=1), resolutions=(128, 160))
    # the same file elsewhere, under another name
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    weights.rename(moved / "v.safetensors")
    renamed = identity_of(Run(data=data, checkpoints=(moved / "v.safetensors",)), resolutions=(128, 160))
    assert first_difference(identity, renamed) is None
    # another file under the same name
    weights.write_bytes(b"Weights")
    different = first_difference(identity, identity_of(run, resolutions=(128, 160)))
    assert different is not None
    name, before, now = different
    assert name == "checkpoints[0]"
    assert shown(before) != shown(now)
    assert shown(before).startswith("w.safetensors (SHA-256 ")


def test_a_files_hash_is_what_sha256sum_prints(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(bytes(range(256)) * 5000)  # larger than any buffer
    printed = subprocess.run(["sha256sum", str(weights)], check=True, capture_output=True, text=True).stdout
    assert sha256(weights) == printed.split()[0]
    identity = identity_of(Run(data=tmp_path, checkpoints=(weights,)))
    assert identity["checkpoints"] == [{"file": "w.safetensors", "sha256": printed.split()[0]}]


def test_a_hash_of_an_earlier_version_is_still_that_file(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"weights")
    before = {"file": "w", "sha256": hashlib.sha256(hashlib.sha256(b"weights").digest()).hexdigest()}
    assert first_difference({"w": before}, {"w": file_identity(weights)}) is None
    weights.write_bytes(b"Weights")
    assert first_difference({"w": before}, {"w": file_identity(weights)}) is not None


def test_a_file_beside_an_input_is_part_of_it(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Search(Config):
        predictor: Annotated[Path, Input(beside=".json")]

    weights = tmp_path / "p.safetensors"
    weights.write_bytes(b"weights")
    weights.with_suffix(".json").write_text("{}")
    search = Search(predictor=weights)
    before = identity_of(search)
    assert first_difference(before, identity_of(search)) is None
    weights.with_suffix(".json").write_text('{"uncertainty": 3}')
    assert first_difference(before, identity_of(search))[0] == "predictor"  # type: ignore[index]


def differs(before: dict[str, object], data: Path) -> bool:
    return first_difference(before, identity_of(Run(data=data))) is not None


def test_images_are_known_by_names_and_content(tmp_path: Path) -> None:
    data = photographs(tmp_path / "photos")
    before = identity_of(Run(data=data))
    (data / ".DS_Store").write_bytes(b"a remark")
    assert not differs(before, data)
    photo = data / "class1" / "298.jpg"
    # of the same size, as a picture that was corrected in place may be
    photo.write_bytes(b"y" + b"x" * 298)
    found = first_difference(before, identity_of(Run(data=data)))
    assert found is not None
    assert found[0] == "data"
    assert shown(found[1]) != shown(found[2])
    photo.write_bytes(b"")
    assert differs(before, data)
    photo.write_bytes(b"x" * 299)
    assert not differs(before, data.rename(tmp_path / "elsewhere"))
    photo = tmp_path / "elsewhere" / "class1" / "298.jpg"
    photo.rename(tmp_path / "elsewhere" / "class2" / "298.jpg")
    assert differs(before, tmp_path / "elsewhere")


def test_images_behind_links_are_part_of_a_folder(tmp_path: Path) -> None:
    """A folder of links to the folders of classes was known by nothing."""
    data, links = photographs(tmp_path / "photos"), tmp_path / "links"
    links.mkdir()
    for name in ("class0", "class1"):
        (links / name).symlink_to(data / name)
    before = identity_of(Run(data=links))
    assert not differs(before, links)
    (data / "class1" / "298.jpg").write_bytes(b"y" * 299)
    assert differs(before, links)


def test_of_a_folder_too_large_to_be_read_some_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = photographs(tmp_path / "photos")  # 45,150 bytes
    monkeypatch.setattr(settings, "MOST_READ", 10_000)
    before, seen = identity_of(Run(data=data)), 0
    for photo in sorted(data.rglob("*.jpg"))[::10]:
        content = photo.read_bytes()
        photo.write_bytes(b"y" * len(content))
        seen += differs(before, data)
        photo.write_bytes(content)
    assert 3 <= seen <= 15
    for photo in data.rglob("*.jpg"):
        photo.write_bytes(photo.read_bytes().replace(b"x", b"y"))
    assert differs(before, data)


def test_a_run_that_knew_names_and_sizes_alone_goes_on(tmp_path: Path) -> None:
    data = photographs(tmp_path / "photos")
    before = identity_of(Run(data=data))
    del before["data"]["content"]
    assert not differs(before, data)
    (data / "class1" / "298.jpg").write_bytes(b"")
    assert differs(before, data)


def test_a_zip_is_known_by_the_checksums_in_it(tmp_path: Path) -> None:
    identities = []
    for content in (b"one", b"one", b"two"):
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
            archive.writestr("cat/1.jpg", content)
        identities.append(identity_of(Run(data=tmp_path / "photos.zip")))
    assert identities[0] == identities[1] != identities[2]


def test_a_name_that_stands_for_no_file_is_itself_and_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert identity_of(Run(data=tmp_path, classes="builtin"))["classes"] == "builtin"
    with pytest.raises(InputError, match=r"--classes: there is no nowhere\.txt"):
        identity_of(Run(data=tmp_path, classes="nowhere.txt"))


def test_a_path_that_nobody_marked_is_a_fault() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Forgotten(Config):
        weights: Path = Path("w")

    with pytest.raises(TypeError, match=r"Forgotten\.weights is a path, and neither marked Input nor Free"):
        identity_of(Forgotten())


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"a": 1, "b": [1, {"c": 2}]}, {"a": 1, "b": [1, {"c": 2}]}, None),
        ({"a": 1, "b": [1, {"c": 2}]}, {"a": 1, "b": [1, {"c": 3}]}, ("b[1].c", 2, 3)),
        ({"a": 1}, {"b": 2, "a": 3}, ("b", None, 2)),
        ({"a": 1, "old": 1}, {"a": 1}, ("old", 1, None)),
        ({"a": [1]}, {"a": [1, 2]}, ("a", [1], [1, 2])),
        (None, {"a": 1}, ("", None, {"a": 1})),
        # not a file: a sub-network, say
        ({"a": {"sha256": "1", "size": 1}}, {"a": {"sha256": "1", "size": 2}}, ("a.size", 1, 2)),
    ],
)
def test_the_first_difference_is_found(before: object, now: object, expected: object) -> None:
    assert first_difference(before, now) == expected


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({"seed": 0}, {"seed": 5}, "with seed = 0, but this one has 5"),
        # a journal of before there were any, and an option that was not given
        ({}, {"networks": 4}, "without networks, but this one has networks = 4"),
        ({"rounds": None}, {"rounds": 4}, "without rounds, but this one has rounds = 4"),
        ({"carriers": 9}, {}, "with carriers = 9, but this one is without"),
        ({"rules": {"settle": 0.03}}, {"rules": {}}, "with rules.settle = 0.03, but this one is without"),
        (None, {"a": 1}, 'without settings, but this one has settings = {"a": 1}'),
    ],
)
def test_a_difference_is_said_in_words(before: object, now: object, words: str) -> None:
    different = Difference.between(before, now)
    assert different is not None
    assert different.words() == words
    assert ("another version" in different.way_out("start again")) == ("without" in words)


def test_what_may_be_removed_is_said_where_versions_differ() -> None:
    older = Difference.between({}, {"networks": 4})
    assert older is not None
    assert older.way_out("name another --out") == (
        "give the same settings or, if another version of this program began it, name another --out"
    )
    assert older.way_out("start again", Path("t.journal.jsonl")).endswith("remove t.journal.jsonl or start again")
