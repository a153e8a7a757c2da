"""Models that are written while an agent loads the first of them."""

import gc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.runs.journal import Journal
from profilers.measuring import models
from profilers.measuring.events import Event, Hello, Loading
from profilers.measuring.models import plan_being_written, write_plan
from profilers.measuring.plan import CutChain, make_plan
from profilers.measuring.run import measure_on
from profilers.measuring.target import Target

BLOCKS = [Block("mbconv", 8, 8, 24 + 8 * i, 8, 3, 1, "relu", False, True) for i in range(20)]
PLAN = make_plan(
    [*((block,) for block in BLOCKS), tuple(BLOCKS[:7])], 1, 0, cut_chains=[CutChain(tuple(BLOCKS[:5]), (0, 3))]
)
HELLO = Hello("cpu", "openvino 1", {})


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_they_are_the_same_files_as_if_they_were_written_before(tmp_path: Path, dtype: str) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    before, meanwhile = tmp_path / "before", tmp_path / "meanwhile"
    before.mkdir()
    meanwhile.mkdir()
    files = write_plan(PLAN, "openvino", before, 1, dtype)
    with plan_being_written(PLAN, "openvino", meanwhile, 1, dtype) as writing:
        writing._done.result()
        assert writing.files == files
        # a block, the whole network, its parts, the other blocks
        assert [name[:6] for name in writing.order[:4]] == ["b00019", "b00020", "b00021", "b00021"]
    contents = {path.name: path.read_bytes() for path in before.iterdir()}
    assert {path.name: path.read_bytes() for path in meanwhile.iterdir()} == contents
    assert sorted(writing.order) == sorted(contents)


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    half_written: list[list[str]] = []
    write_bytes = Path.write_bytes

    def seen(path: Path, content: Any) -> int:
        with path.open("wb") as file:
            file.write(content[:10])
            half_written.append([name for name in writing.order if (tmp_path / name).is_file()])
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", seen)
    with plan_being_written(PLAN, "openvino", tmp_path, 1) as writing:
        writing._done.result()
    assert half_written == [
        [name for name in writing.order if name in writing.order[:n]] for n in range(len(writing.order))
    ]


def test_the_end_of_the_measurement_ends_the_writing(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    with pytest.raises(KeyboardInterrupt), plan_being_written(PLAN, "openvino", tmp_path, 1):
        raise KeyboardInterrupt
    assert len([*tmp_path.glob("*.onnx")]) < len(BLOCKS)


def test_what_the_writing_fails_of_ends_the_measurement_while_the_agent_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an agent that would wait for ever."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    asked: list[Mapping[str, Any]] = []
    ended: list[bool] = []

    def agent(_: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
        asked.append(manifest)
        yield HELLO
        try:
            while True:
                yield Loading()
        finally:
            ended.append(True)

    made = models.network_graph

    def fails(chain: tuple[Block, ...], batch: int) -> Any:
        if chain == (BLOCKS[3],):
            raise InputError("no room for b00003")
        return made(chain, batch=batch)

    monkeypatch.setattr(models, "network_graph", fails)
    target = Target("openvino", 1, {}, agent, {}, awaits_models=True)
    journal = Journal.begin(tmp_path / "t.journal.jsonl", {"seed": 0}, resume=False, overwrite=False)
    folder = tmp_path / "models"
    folder.mkdir()
    with pytest.raises(InputError, match="no room for b00003"):
        measure_on(target, PLAN, {}, 0, journal, folder, lambda *_: None)
    journal.close()
    gc.collect()  # the traceback, which holds the agent
    assert ended == [True]
    assert [*map(len, (asked, asked[0]["awaits"]))] == [1, 23]


def test_models_are_written_before_where_the_agent_does_not_wait(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    there: list[int] = []

    def agent(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
        assert "awaits" not in manifest
        there.append(len([*folder.glob("*.onnx")]))
        raise InputError("seen")
        yield

    target = Target("onnxruntime", 1, {}, agent, {})
    journal = Journal.begin(tmp_path / "t.journal.jsonl", {"seed": 0}, resume=False, overwrite=False)
    folder = tmp_path / "models"
    folder.mkdir()
    with pytest.raises(InputError, match="seen"):
        measure_on(target, PLAN, {}, 0, journal, folder, lambda *_: None)
    journal.close()
    assert there == [23]
