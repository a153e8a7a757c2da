"""What is sent to phones and boards is named by its content, and the same content is the same bytes."""

import os
import tarfile
from pathlib import Path

from ofa.blocks import all_blocks
from ofa.space import get_space
from profilers.devices.sent_files import SUMS, sent_folder, write_tar
from profilers.measuring.models import write_models
from profilers.measuring.plan import make_plan


def written(path: Path, content: dict[str, bytes]) -> dict[str, Path]:
    path.mkdir()
    for name, data in content.items():
        (path / name).write_bytes(data)
    return {name: path / name for name in content}


def test_a_folder_is_named_by_all_its_names_and_contents(tmp_path: Path) -> None:
    one = sent_folder("models", written(tmp_path / "a", {"x": b"1", "y": b"2"}))
    same = sent_folder("models", written(tmp_path / "b", {"y": b"2", "x": b"1"}))
    assert one.name == same.name
    others = ({"x": b"1", "y": b"3"}, {"x": b"1", "z": b"2"}, {"x": b"1"}, {"x": b"2", "y": b"1"})
    names = {sent_folder("models", written(tmp_path / f"c{i}", other)).name for i, other in enumerate(others)}
    assert len(names | {one.name}) == 5


def test_an_archive_depends_on_nothing_but_names_and_contents(tmp_path: Path) -> None:
    content = {"agent": b"#!/bin/sh", "lib.so": bytes(1000)}
    first, second = written(tmp_path / "a", content), written(tmp_path / "b", content)
    os.utime(second["agent"], (1, 1))
    second["agent"].chmod(0o600)
    for name, files in (("1.tar", first), ("2.tar", second)):
        with (tmp_path / name).open("wb") as file:
            write_tar(sent_folder("agent", files), file)
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    with tarfile.open(tmp_path / "1.tar") as archive:
        assert archive.getnames() == ["agent", "lib.so", SUMS]
        assert all(entry.mode == 0o755 for entry in archive)


def test_models_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    plan = make_plan([(block,) for block in all_blocks(get_space("mbv3-w0.35"), [160])[:3]], 1, 0)
    names = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        files = write_models(plan.models, "tflite", tmp_path / name, 1)
        names.append(sent_folder("models", {file: tmp_path / name / file for file in files.values()}).name)
    assert names[0] == names[1]
