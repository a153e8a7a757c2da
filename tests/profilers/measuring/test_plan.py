"""The order in which blocks are measured, and their models, written before or while an agent loads the first."""

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ofa.blocks import Block, all_blocks
from ofa.errors import InputError
from ofa.graph import network_graph
from ofa.graph.onnx import write_onnx
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.measuring import models
from profilers.measuring.events import Event, Hello, Loading
from profilers.measuring.models import check_runtime, plan_being_written, write_models, write_plan
from profilers.measuring.plan import CutChain, make_plan
from profilers.measuring.run import measure_on
from profilers.measuring.target import Target

BLOCKS = [(block,) for block in all_blocks(get_space("mbv3-w1.0"), [160])]
MADE = [Block("mbconv", 8, 8, 24 + 8 * i, 8, 3, 1, "relu", False, True) for i in range(20)]
PLAN = make_plan([*((block,) for block in MADE), tuple(MADE[:7])], 1, 0, cut_chains=[CutChain(tuple(MADE[:5]), (0, 3))])
HELLO = Hello("cpu", "openvino 1", {})


def test_every_block_is_visited_once_a_round_with_the_reference_between() -> None:
    plan = make_plan(BLOCKS, rounds=3, reference_every=20, seed=0)
    turns = [v.model for v in plan.visits if not v.is_reference]
    for round_number in range(3):
        assert sorted(turns[96 * round_number : 96 * (round_number + 1)]) == sorted(plan.models)
    assert turns[:96] != turns[96:192]
    marks = [i for i, v in enumerate(plan.visits) if v.is_reference]
    assert marks[0] == 0
    assert marks[-1] == len(plan.visits) - 1
    assert max(after - before for before, after in itertools.pairwise(marks)) == 21
    assert [v.number for v in plan.visits] == list(range(len(plan.visits)))
    # segment s lies between the reference visits of segments s - 1 and s
    for i, v in enumerate(plan.visits):
        before = sum(w.is_reference for w in plan.visits[:i])
        assert v.segment == before


def test_a_seed_repeats_the_order() -> None:
    first, again, other = (make_plan(BLOCKS, 2, seed).visits for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("runtime", ["onnxruntime", "tflite", "tflite-runtime", "torch"])
def test_a_model_a_block_is_written(tmp_path: Path, runtime: str) -> None:
    plan = make_plan(BLOCKS[:3], 1, 0)
    files = write_models(plan.models, runtime, tmp_path, batch=2)
    assert set(files) == set(plan.models)
    assert all((tmp_path / name).stat().st_size > 500 for name in files.values())


def test_unknown_and_missing_runtimes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown runtime 'tvm', expected one of onnxruntime, tflite"):
        check_runtime("tvm")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"needs ai_edge_litert and flatbuffers: pip install 'ofa-latency\[tflite\]'"):
        check_runtime("tflite")


def test_chains_in_parts_are_visited_as_the_others_and_are_no_reference() -> None:
    chain = tuple(block for (block,) in BLOCKS[:5])
    plan = make_plan(BLOCKS[:4], 3, 0, cut_chains=[CutChain(chain, (0, 2)), CutChain(chain, (0, 1, 4))])
    assert list(plan.cuts) == ["b00004", "b00005"]
    assert plan.models["b00004"] == plan.models["b00005"] == chain
    assert plan.parts("b00005") == (chain[:1], chain[1:4], chain[4:])
    assert plan.parts("b00001") == (BLOCKS[1],)
    assert plan.reference == make_plan(BLOCKS[:4], 3, 0).reference
    turns = [v.model for v in plan.visits if not v.is_reference]
    assert all(turns.count(name) == 3 for name in plan.models)
    # without them a plan is what it was: journals of earlier versions are gone on with
    assert make_plan(BLOCKS, 2, 1).visits == make_plan(BLOCKS, 2, 1, cut_chains=[]).visits


@pytest.mark.parametrize("cuts", [(), (1,), (0, 0), (0, 3, 2), (0, 5)])
def test_cuts_that_leave_a_part_empty_are_none(cuts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not cut 5 blocks into parts"):
        CutChain(tuple(block for (block,) in BLOCKS[:5]), cuts)


def test_parts_in_common_are_one_file(tmp_path: Path) -> None:
    chain = tuple(block for (block,) in BLOCKS[:3])
    space_chain = CutChain(chain[:2], (0, 1))
    plan = make_plan(BLOCKS[:1], 1, 0, cut_chains=[space_chain, CutChain(chain[:2], (0,)), space_chain])
    files = write_plan(plan, "onnxruntime", tmp_path, batch=1)
    assert files["b00000"] == "b00000.onnx"
    assert files["b00001"] == files["b00003"] == ("b00001-0.onnx", "b00001-1.onnx")
    assert files["b00002"] == ("b00002-0.onnx",)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "b00000.onnx", "b00001-0.onnx", "b00001-1.onnx", "b00002-0.onnx",
    ]  # fmt: skip


def test_files_that_are_written_while_the_next_is_made_are_whole(tmp_path: Path) -> None:
    blocks = {f"b{i}.{i}": (Block("mbconv", 8, 8, 8 * (1 + i), 8, 3, 1, "relu", False, True),) for i in range(20)}
    files = write_models(blocks, "onnxruntime", tmp_path, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files.values())
    for name, chain in blocks.items():
        assert (tmp_path / files[name]).read_bytes() == write_onnx(network_graph(chain))
    write_models(dict([*blocks.items()][:2]), "torch", tmp_path, 1)
    assert json.loads((tmp_path / "b1.1.json").read_text()) == {"input_shape": [1, 8, 8, 8]}


@pytest.mark.parametrize("failing", ["b0.onnx", "b1.onnx", "b2.onnx"])
def test_a_file_that_cannot_be_written_ends_it_with_its_name(failing: str, tmp_path: Path) -> None:
    (tmp_path / failing).mkdir()
    blocks = {f"b{i}": (Block("mbconv", 8, 8, 16, 8, 3, 1, "relu", False, True),) for i in range(3)}
    with pytest.raises(IsADirectoryError, match=failing):
        write_models(blocks, "onnxruntime", tmp_path, 1)


# ---- while an agent loads


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
    assert len([*tmp_path.glob("*.onnx")]) < len(MADE)


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
        if chain == (MADE[3],):
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
