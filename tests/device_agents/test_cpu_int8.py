"""The CPU agent on int8 models: their inputs, and networks in parts whose borders are int8."""

import os
from pathlib import Path

import numpy as np
import pytest

from device_agents.cpu import runtimes
from ofa.blocks import Block
from profilers.measuring.models import write_models, write_parts
from profilers.measuring.plan import CutChain, make_plan

CHAIN = (
    Block("conv", 33, 3, 0, 16, 3, 2, "h_swish", False, False),
    Block("mbconv", 17, 16, 48, 24, 5, 2, "relu", True, False),
    Block("mbconv", 9, 24, 48, 24, 3, 1, "h_swish", False, True),
    Block("global_pool", 9, 24, 0, 24, 1, 1, "none", False, False),
    Block("linear", 1, 24, 0, 10, 1, 1, "none", False, False),
)
INT8 = ["onnxruntime", "tflite", "tflite-runtime"]


@pytest.fixture(params=INT8)
def runtime(request: pytest.FixtureRequest) -> str:
    if request.param == "tflite-runtime":
        pytest.importorskip("tflite_runtime", reason="tflite-runtime has wheels up to Python 3.11")
    return str(request.param)


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_noise_of_integers_is_around_their_middle_and_reaches_both_ends(kind: type) -> None:
    values = runtimes.noise(np.random.default_rng(0), (100_000,), kind)
    assert values.dtype == kind
    assert values.mean() == pytest.approx(np.iinfo(kind).min + 128, abs=1)
    assert (values.min(), values.max()) == (np.iinfo(kind).min, np.iinfo(kind).max)
    assert values.std() == pytest.approx(32, rel=0.02)


def test_every_block_of_int8_is_loaded_and_runs(runtime: str, tmp_path: Path) -> None:
    files = write_models({f"b{i}": (block,) for i, block in enumerate(CHAIN)}, runtime, tmp_path, 2, "int8")
    for file in files.values():
        runtimes.RUNTIMES[runtime].load(tmp_path / file, 1, np.random.default_rng(0))()


def test_parts_hand_on_integers_and_in_the_end_logits(runtime: str, tmp_path: Path) -> None:
    plan = make_plan([CHAIN[:1]], 1, 0, cut_chains=[CutChain(CHAIN, (0, 1, 3))], reference_among=[0])
    (name,) = plan.cuts
    files = write_parts(plan, [name], runtime, tmp_path, 1, "int8")[name]
    parts = runtimes.RUNTIMES[runtime].load_parts([tmp_path / file for file in files], 1, np.random.default_rng(7))
    for _ in range(2):
        for part in parts:
            part.run()
            part.hand_on()
    kinds = [np.asarray(part.output()).dtype for part in parts]
    assert kinds == [np.uint8 if runtime == "onnxruntime" else np.int8] * 2 + [np.float32]
    logits = np.asarray(parts[-1].output())
    assert logits.shape == (1, 10)
    assert np.isfinite(logits).all()
    assert logits.std() > 0
    # what a part is given changes what it puts out
    first = np.array(parts[0].output())
    assert len(np.unique(first)) > 50


def written(folder: Path, dtype: str) -> Path:
    return folder / write_models({"a": CHAIN}, "onnxruntime", folder, 1, dtype)["a"]


def logits_of(path: Path) -> np.ndarray:
    images = np.random.default_rng(1).standard_normal((1, 3, 33, 33), dtype=np.float32)
    return runtimes._session(path, 1).run(None, {"input": images})[0]


def test_a_quantised_model_is_optimised_once_and_computes_the_same_ever_after(tmp_path: Path) -> None:
    path = written(tmp_path, "int8")
    first = logits_of(path)
    assert [file.suffix for file in tmp_path.iterdir() if file != path] == [".ort"]
    path.unlink()  # it is not read again
    for _ in range(2):
        np.testing.assert_array_equal(logits_of(path), first)


def test_float_models_are_kept_once(tmp_path: Path) -> None:
    path = written(tmp_path, "fp32")
    np.testing.assert_array_equal(logits_of(path), logits_of(path))
    assert list(tmp_path.iterdir()) == [path]


def test_a_quantised_model_runs_where_no_optimised_form_can_be_kept(tmp_path: Path) -> None:
    path = written(tmp_path, "int8")
    (in_the_way := path.with_suffix(f".{os.getpid()}.ort")).mkdir()
    np.testing.assert_array_equal(logits_of(path), logits_of(path))
    assert sorted(tmp_path.iterdir()) == sorted([path, in_the_way])
