"""What never ends is refused before it is opened: one that is opened here, for reading, would wait for ever."""

import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ofa.checkpoints.tensors import read_metadata, read_tensors
from ofa.errors import InputError
from ofa.export.labels import read_labels
from ofa.images.classes import read_classes
from ofa.predict.model import open_model
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.files import read_files
from ofa.predictors.subnet_accuracies import read_accuracies_csv
from ofa.published.opening import open_network
from ofa.reading.files import refuse_endless
from ofa.reading.kinds import kind_of
from ofa.reading.structured import MAX_BYTES, read_json, read_toml
from ofa.reading.torch_file import read_torch_file
from ofa.reading.zip_file import is_zip
from ofa.report.inputs.files import find_files
from ofa.runs.journal import Journal
from ofa.space import get_space
from ofa.tables import LatencyTable
from ofa.tables.network_times import read_networks

SPACE = get_space("mbv3-w1.0")
READERS: dict[str, Callable[[Path], Any]] = {
    "JSON": read_json,
    "TOML": read_toml,
    "table": LatencyTable.load,
    "networks": read_networks,
    "accuracies": lambda path: read_accuracies_csv(path, "mbv3-w1.0"),
    "space": lambda path: get_space(str(path)),
    "tensors": read_tensors,
    "metadata": read_metadata,
    "torch": read_torch_file,
    "predictor": lambda path: AccuracyPredictor.load(path, SPACE),
    "predictor's files": lambda path: read_files(path, ("a",)),
    "model": open_model,
    "classes": read_classes,
    "labels": lambda path: read_labels(path, 2),
    "list of blocks": lambda path: open_network(str(path)),
    "run": lambda path: find_files([str(path)]),
    "journal": Journal.read,
}
PIPES = set[str]()


@cache  # there is no way to take it back
def _watch() -> None:
    sys.addaudithook(_refuse)


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and PIPES and str(args[0]) in PIPES:
        raise AssertionError(f"{args[0]} was opened")


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A pipe that nobody writes; to open it is a failure of the test."""
    _watch()
    path = tmp_path / "pipe.toml"
    os.mkfifo(path)
    PIPES.add(str(path))
    yield path
    PIPES.clear()


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_is_refused_unopened(reader: str, pipe: Path) -> None:
    pipe.with_suffix(".json").write_text("{}")  # beside a predictor there is one
    with pytest.raises(InputError, match=r"pipe\.toml is a device or a pipe: name a file$"):
        READERS[reader](pipe)


def test_nor_is_it_opened_to_see_what_it_is(pipe: Path) -> None:
    assert kind_of(pipe) is None
    assert not is_zip(pipe)


def test_devices_links_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"^--table .*link\.csv is a device or a pipe: name a file$"):
        refuse_endless(tmp_path / "link.csv", "--table")
    (tmp_path / "loop").symlink_to("loop")
    for name in (".", "none", "loop", "zero\0byte", "long" * 1000):
        refuse_endless(tmp_path / name)


@pytest.mark.parametrize("reader", sorted({*READERS} - {"tensors", "metadata", "torch", "predictor", "run", "journal"}))
def test_what_is_larger_than_any_such_file_is_not_read_into_memory(reader: str, tmp_path: Path) -> None:
    """A disk's image, or a video, by the wrong name. What is left out maps files, or reads them piece by piece."""
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(2**31 + 1 if reader == "model" else MAX_BYTES + 1)  # takes no place on the disk
    path.with_suffix(".json").write_text('{"schema": "a"}')
    with pytest.raises(InputError, match=r"large\.toml: [0-9]+ MiB, more than (such a file|a list of blocks) ever has"):
        READERS[reader](path)
