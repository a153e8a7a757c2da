"""The order in which blocks are measured."""

import itertools
from pathlib import Path

import pytest

from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.space import get_space
from profilers.measuring.models import check_runtime, write_models
from profilers.measuring.plan import make_plan

BLOCKS = [(block,) for block in all_blocks(get_space("mbv3-w1.0"), [160])]


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
    with pytest.raises(InputError, match="unknown runtime 'openvino', expected one of onnxruntime, tflite"):
        check_runtime("openvino")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"needs ai_edge_litert and flatbuffers: pip install 'ofa-latency\[tflite\]'"):
        check_runtime("tflite")
