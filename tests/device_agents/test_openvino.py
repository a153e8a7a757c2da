"""OpenVINO and torch in the CPU agent: they compute in the type that was asked for, or say that they do not."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from device_agents.cpu import machine, openvino_runtime, runtimes
from device_agents.cpu.machine import computes
from device_agents.cpu.parts import NotComputed, Part
from ofa.blocks import Block, blocks_of
from ofa.errors import InputError
from ofa.export.folding import trained_graph
from ofa.graph import network_graph
from ofa.graph.fake_int8 import observed_ranges
from ofa.graph.int8 import borders_of
from ofa.graph.onnx import write_onnx
from ofa.graph.onnx_int8 import write_onnx_int8
from ofa.graph.torch import write_torchscript
from ofa.networks import build_supernet, calibrate_bn, extract
from ofa.space import get_space
from profilers.devices.delegates import check_computed
from profilers.devices.local_cpu import cpu_target, target_of_header
from profilers.measuring.events import Error
from profilers.measuring.models import write_models

AGENT = Path(__file__).resolve().parents[2] / "device_agents" / "cpu" / "agent.py"
RULES = {
    "warmup_runs": 2, "warmup_seconds": 0, "min_runs": 3, "max_runs": 5, "max_seconds": 5, "target_error": 0,
    "min_sample_us": 50,
}  # fmt: skip
# the third block's input is smaller than the first one's output, and its output larger: buffers differ in size
CHAIN = (
    Block("mbconv", 16, 8, 24, 8, 3, 1, "h_swish", True, True),
    Block("mbconv", 16, 8, 48, 16, 5, 2, "relu", False, False),
    Block("mbconv", 8, 16, 64, 40, 7, 1, "h_swish", False, False),
    Block("mbconv", 8, 40, 80, 40, 3, 1, "relu", True, True),
)
bf16 = pytest.mark.skipif(not computes("bf16"), reason="this CPU has no instructions for bf16")


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """The chain in three files."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'ofa-latency[openvino]'")
    found = []
    for number, chain in enumerate((CHAIN[:1], CHAIN[1:3], CHAIN[3:])):
        found.append(tmp_path / f"{number}.onnx")
        found[-1].write_bytes(write_onnx(network_graph(chain)))
    return found


def outputs(loaded: list[Part]) -> list[np.ndarray]:
    """What every part puts out, after two passes."""
    found = []
    for number in range(2):
        for part in loaded:
            part.run()
            if number:
                found.append(np.array(part.output(), dtype=np.float32))
            part.hand_on()
    return found


def test_parts_are_those_of_onnxruntime(parts: list[Path]) -> None:
    ours = outputs(openvino_runtime.load_openvino_parts(parts, 1, np.random.default_rng(3)))
    theirs = outputs(runtimes.load_onnxruntime_parts(parts, 1, np.random.default_rng(3)))
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        # float32 to the end: bf16, which OpenVINO would take by itself, is a hundred times further off
        assert np.abs(a - b).max() < 1e-5 * np.abs(b).max()


@pytest.mark.usefixtures("parts")
def test_int8_parts_are_those_of_onnxruntime(tmp_path: Path) -> None:
    files = []
    for number, chain in enumerate((CHAIN[:1], CHAIN[1:3], CHAIN[3:])):
        graph = network_graph(chain)
        files.append(tmp_path / f"int8-{number}.onnx")
        ranges = observed_ranges(graph, [torch.randn(30, *graph.input_shape[1:], generator=torch.manual_seed(0))])
        files[-1].write_bytes(write_onnx_int8(graph, ranges, borders=borders_of(graph)))
    ours = openvino_runtime.load_openvino_parts(files, 1, np.random.default_rng(3))
    theirs = runtimes.load_onnxruntime_parts(files, 1, np.random.default_rng(3))
    for a, b in zip(outputs(ours), outputs(theirs), strict=True):
        steps = np.abs(a - b)
        assert len(np.unique(b)) > 20, "integers that tell something"
        # each rounds a half in its own way, and what follows rounds again; where the CPU has no instruction for
        # products of bytes, OpenVINO adds pairs of them in 16 bits, which end at 32767 (4.7 steps)
        most = 1 if {"avx512_vnni", "avx_vnni"} & machine.cpu_features() else 8
        assert np.mean(steps) < most, f"{np.mean(steps):.2f} steps apart"
    assert ours[0].output().dtype == np.uint8 == theirs[0].output().dtype


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("dtype", ["fp32", "int8", pytest.param("bf16", marks=bf16)])
def test_convolutions_of_blocks_compute_as_in_the_whole_network(tmp_path: Path, dtype: str) -> None:
    chain = CHAIN[1:]

    def kinds(number: int, part: tuple[Block, ...]) -> Counter[str]:
        (file,) = write_models({str(number): part}, "openvino", tmp_path, 1, dtype).values()
        compiled = openvino_runtime._compiled(tmp_path / file, 1, "bf16" if dtype == "bf16" else "fp32")
        facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
        heavy = [each for each in facts if each["layerType"].astype(str) == "Convolution"]
        return Counter(each["runtimePrecision"].astype(str) for each in heavy)

    whole = kinds(0, chain)
    assert whole.total() >= 9
    alone = [kinds(number, (block,)) for number, block in enumerate(chain, 1)]
    assert sum(alone, Counter()) == whole


def operations(path: Path) -> Counter[tuple[str, ...]]:
    """What OpenVINO computes of a model, but for what it only renames."""
    found = Counter[tuple[str, ...]]()
    for node in openvino_runtime._compiled(path, 1, "fp32").get_runtime_model().get_ops():
        facts = {key: value.astype(str) for key, value in node.get_rt_info().items()}
        named = facts["layerType"] in ("Input", "Output", "Const", "Reshape")
        if not named and not node.get_friendly_name().endswith("_fake"):  # so it calls reorders that move nothing
            found[facts["layerType"], facts["runtimePrecision"], facts["outputPrecisions"]] += 1
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("parts")
def test_int8_blocks_compute_what_the_whole_network_does_and_one_rounding_more(tmp_path: Path) -> None:
    """Whatever a block is made of must not hang on where it stands: here in four stages, thirteen blocks deep."""
    space = get_space("mbv3-w1.0")
    depths = (2, 3, 3, 3, 2)
    layers = [size * (layer < depth) for depth in depths for layer, size in enumerate((5, 3, 5, 3))]
    chain = blocks_of(space, space.subnet(layers, [3 * (size > 0) for size in layers], depths, 128))[1:-4]
    assert len(chain) == 14
    assert sum(block.squeeze_excite for block in chain) == 8
    models = {"whole": chain} | {str(number): (block,) for number, block in enumerate(chain)}
    files = write_models(models, "openvino", tmp_path, 1, "int8")
    whole = operations(tmp_path / files.pop("whole"))
    alone = sum((operations(tmp_path / file) for file in files.values()), Counter())
    more = alone - whole
    # each rounds what it hands on, as the whole network does; behind a sum, that needs a copy
    assert more.pop(("Subgraph", "u8", "u8")) == len(chain) - 1
    assert more.pop(("Reorder", "u8", "u8")) == sum(block.skip for block in chain) - chain[-1].skip
    assert not more
    assert not whole - alone


@pytest.mark.slow
@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_an_exported_network_computes_what_is_timed(tmp_path: Path, dtype: str) -> None:
    """Of a network whose values batch normalisation keeps, with ranges that were seen: as trained ones have.

    What is timed is written otherwise, so that OpenVINO compiles it sooner.
    """
    space = get_space("mbv3-w0.35", 10)
    subnet = space.subnet([3, 5, 3, 0] * 5, [3, 3, 3, 0] * 5, [3] * 5, 64)
    images = torch.randn(16, 3, 64, 64, generator=torch.manual_seed(0))
    net = build_supernet(space).eval()
    graph = trained_graph(extract(net, subnet, calibrate_bn(net, subnet, [images])))
    exported = write_onnx_int8(graph, observed_ranges(graph, [images])) if dtype == "int8" else write_onnx(graph)
    (tmp_path / "exported.onnx").write_bytes(exported)
    (timed,) = write_models({"timed": blocks_of(space, subnet)}, "openvino", tmp_path, 1, dtype).values()
    assert operations(tmp_path / "exported.onnx") == operations(tmp_path / timed)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_models_that_compile_sooner_have_the_same_kernels_and_numbers(tmp_path: Path, dtype: str) -> None:
    """Biases and means are nodes of their own there, and zero points of 0 are left out."""
    graph = network_graph(CHAIN)
    if dtype == "int8":
        given = observed_ranges(graph, [torch.randn(30, *graph.input_shape[1:], generator=torch.manual_seed(0))])
        written = [write_onnx_int8(graph, given, for_openvino=sooner) for sooner in (False, True)]
    else:
        written = [write_onnx(graph, for_openvino=sooner) for sooner in (False, True)]
    assert written[0] != written[1]
    found = []
    for number, content in enumerate(written):
        (tmp_path / f"{number}.onnx").write_bytes(content)
        compiled = openvino_runtime._compiled(tmp_path / f"{number}.onnx", 1, "fp32")
        request = compiled.create_infer_request()
        entry = request.get_input_tensor()
        entry.data[:] = openvino_runtime._noise_like(entry, np.random.default_rng(1))
        found.append(request.infer()[0].copy())
    np.testing.assert_array_equal(*found)
    assert operations(tmp_path / "0.onnx") == operations(tmp_path / "1.onnx")


@bf16
def test_bf16_is_bf16(parts: list[Path]) -> None:
    exact = outputs(openvino_runtime.load_openvino_parts(parts, 1, np.random.default_rng(3)))
    ours = outputs(openvino_runtime.load_openvino_parts(parts, 1, np.random.default_rng(3), "bf16"))
    for a, b in zip(ours, exact, strict=True):
        assert 1e-4 * np.abs(b).max() < np.abs(a - b).max() < 0.1 * np.abs(b).max()


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_runtime, "half_is_available", lambda: False)


@pytest.mark.parametrize("room", [True, False])
@pytest.mark.parametrize("dtype", ["fp32", pytest.param("bf16", marks=bf16)])
def test_a_model_is_compiled_once_and_computes_the_same_ever_after(
    parts: list[Path], dtype: str, room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_runtime, "half_is_available", lambda: room)

    def found() -> list[np.ndarray]:
        return outputs(openvino_runtime.load_openvino_parts(parts, 1, np.random.default_rng(3), dtype))

    first = found()
    for path in parts:
        path.unlink()  # it is not read again
    for _ in range(2):
        for a, b in zip(found(), first, strict=True):
            np.testing.assert_array_equal(a, b)
    # where memory is short, models are not in it
    assert {(path, 1, dtype) in openvino_runtime._loaded for path in parts} == {room}
    assert len(list(parts[0].parent.glob("*.blob"))) == (0 if room else len(parts))


def test_parts_that_are_one_model_compute_one_after_the_other(parts: list[Path]) -> None:
    """The same compiled model, run twice in a chain: each run has its own input and output."""
    twice = outputs(openvino_runtime.load_openvino_parts([parts[0], parts[0]], 1, np.random.default_rng(3)))
    theirs = outputs(runtimes.load_onnxruntime_parts([parts[0], parts[0]], 1, np.random.default_rng(3)))
    for a, b in zip(twice, theirs, strict=True):
        assert np.abs(a - b).max() < 1e-5 * np.abs(b).max()


@pytest.mark.usefixtures("short_of_memory")
def test_a_model_runs_where_no_compiled_form_can_be_kept(parts: list[Path]) -> None:
    (in_the_way := parts[0].with_suffix(f".{os.getpid()}.1.fp32.blob")).mkdir()
    for _ in range(2):
        openvino_runtime.load_openvino(parts[0], 1, np.random.default_rng(3))()
    assert sorted(parts[0].parent.iterdir()) == sorted([*parts, in_the_way])


@pytest.mark.usefixtures("short_of_memory")
def test_compiled_forms_leave_room_for_others(parts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_runtime.shutil, "disk_usage", lambda _: SimpleNamespace(free=openvino_runtime._SPARE))
    for _ in range(2):
        openvino_runtime.load_openvino(parts[0], 1, np.random.default_rng(3))()
    assert sorted(parts[0].parent.iterdir()) == sorted(parts)


@bf16
def test_a_pooling_alone_runs_in_bf16_and_convolutions_tell_their_type(
    parts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pooling = parts[0].with_name("pool.onnx")
    pooling.write_bytes(write_onnx(network_graph([Block("max_pool", 25, 8, 0, 8, 3, 2, "none", False, False)])))
    openvino_runtime.load_openvino(pooling, 1, np.random.default_rng(3), "bf16")()
    monkeypatch.setattr(openvino_runtime, "_HEAVY", ("Convolution of another name",))
    with pytest.raises(NotComputed, match="does not say in which type"):
        openvino_runtime.load_openvino(parts[0], 1, np.random.default_rng(3), "bf16")


def said(folder: Path, code: int = 0, **changes: Any) -> list[dict[str, Any]]:
    manifest = {
        "protocol": 1, "runtime": "openvino", "threads": 1, "cpus": [max(os.sched_getaffinity(0))], "seed": 0,
        "rules": RULES, "visits": ["a", "b"],
        "models": [{"id": "a", "path": "0.onnx"}, {"id": "b", "parts": ["0.onnx", "1.onnx", "2.onnx"]}], **changes,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = subprocess.run([sys.executable, AGENT, folder / "manifest.json"], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return [event for event in map(json.loads, done.stdout.splitlines()) if event["type"] != "heartbeat"]


@pytest.mark.usefixtures("parts")
def test_the_agent_runs_it(tmp_path: Path) -> None:
    hello, *events = said(tmp_path)
    assert hello["runtime"].startswith("openvino 20")
    assert [event["type"] for event in events] == ["visit", "result", "visit", "result", "done"]
    alone, in_parts = events[1], events[3]
    assert len(alone["samples_ns"]) == len(alone["cpu_ns"]) == RULES["max_runs"]
    assert len(in_parts["parts_ns"]) == len(in_parts["parts_cpu_ns"]) == 3


def test_all_of_it_happens_in_the_thread_that_is_timed(parts: list[Path]) -> None:
    # else every sample would count as disturbed
    run = openvino_runtime.load_openvino(parts[0], 1, np.random.default_rng(3))
    run()
    of_all, of_this = time.process_time(), time.thread_time()
    for _ in range(300):
        run()
    assert time.thread_time() - of_this > 0.9 * (time.process_time() - of_all)


# ---- what is refused, without OpenVINO too


def compiled(*kinds: tuple[str, str]) -> Any:
    """A compiled model whose operators are of these layer types and precisions."""
    node = [
        SimpleNamespace(
            get_rt_info=lambda kind=kind, precision=precision: {
                "layerType": SimpleNamespace(astype=lambda _: kind),
                "runtimePrecision": SimpleNamespace(astype=lambda _: precision),
            }
        )
        for kind, precision in kinds
    ]
    return SimpleNamespace(get_runtime_model=lambda: SimpleNamespace(get_ops=lambda: node))


def test_another_type_than_asked_for_is_an_error() -> None:
    check = partial(openvino_runtime._check_precision, multiplies=True)
    check(compiled(("Convolution", "f32"), ("Reorder", "bf16")), "fp32")
    check(compiled(("Convolution", "bf16"), ("Reorder", "f32")), "bf16")
    # a pooling multiplies no matrices, and says nothing of the type
    openvino_runtime._check_precision(compiled(("Reduce", "f32")), "bf16", multiplies=False)
    with pytest.raises(NotComputed, match="bf16 was asked for, and OpenVINO does not say in which type it computes"):
        check(compiled(("Reduce", "f32"), ("Convolution of another name", "f32")), "bf16")
    with pytest.raises(NotComputed, match="fp32 was asked for, and OpenVINO computes in bf16 and f32") as caught:
        check(compiled(("Convolution", "f32"), ("FullyConnected", "bf16")), "fp32")
    assert caught.value.reason == "not_fp32"
    with pytest.raises(NotComputed, match="fp16 was asked for, and OpenVINO computes in f32") as caught:
        check(compiled(("Convolution", "f32")), "fp16")
    assert caught.value.reason == "not_fp16"


def test_a_type_that_a_runtime_cannot_be_told() -> None:
    with pytest.raises(ValueError, match="dtype is 'bf16', which runtime tflite cannot be set to"):
        runtimes.runtime_of({"runtime": "tflite", "dtype": "bf16"})
    assert runtimes.runtime_of({"runtime": "tflite"}) is runtimes.RUNTIMES["tflite"]


# ---- torch


def scripted(folder: Path, dtype: str) -> list[Path]:
    found = []
    for number, chain in enumerate((CHAIN[:1], CHAIN[1:3], CHAIN[3:])):
        graph = network_graph(chain)
        found.append(folder / f"{number}-{dtype}.pt")
        found[-1].write_bytes(write_torchscript(graph, dtype=dtype))
        found[-1].with_suffix(".json").write_text(json.dumps({"input_shape": graph.input_shape}))
    return found


@bf16
def test_torch_in_bf16(tmp_path: Path) -> None:
    exact = outputs(runtimes.load_torch_parts(scripted(tmp_path, "fp32"), 1, np.random.default_rng(3)))
    ours = outputs(runtimes.load_torch_parts(scripted(tmp_path, "bf16"), 1, np.random.default_rng(3), "bf16"))
    for a, b in zip(ours, exact, strict=True):
        assert 1e-4 * np.abs(b).max() < np.abs(a - b).max() < 0.1 * np.abs(b).max()
        # whoever computed in float32 would have more digits
        assert not (a.view(np.uint32) & 0xFFFF).any()


def test_torch_that_cannot_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(NotComputed, match="torch's oneDNN does not compute in it on this CPU") as caught:
        runtimes.load_torch_parts(scripted(tmp_path, "bf16"), 1, np.random.default_rng(3), "bf16")
    assert caught.value.reason == "not_bf16"
    with pytest.raises(NotComputed, match=r"bf16 was asked for, and the output is torch\.float32"):
        runtimes._check_type(torch.zeros(1), "bf16")


# ---- the host


@pytest.mark.parametrize(
    ("runtime", "dtype", "message"),
    [
        ("onnxruntime", "bf16", "runtime onnxruntime cannot be set to compute in bf16: use openvino or torch"),
        ("tflite", "fp16", "runtime tflite cannot be set to compute in fp16"),
        ("torch", "int8", "no int8 models of the runtime torch"),
        ("torch", "fp16", r"this CPU does not compute in fp16 \(it has none of avx512_fp16, amx_fp16, asimdhp\)"),
        ("torch", "bf16", "this CPU does not compute in bf16"),
    ],
)
def test_a_target_that_cannot_be(runtime: str, dtype: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_features", lambda: frozenset({"avx2"}))
    with pytest.raises(InputError, match=message):
        cpu_target(runtime, 1, 1, None, 60, dtype=dtype)


def test_a_type_is_told_and_found_in_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_features", lambda: frozenset({"amx_bf16"}))
    target = cpu_target("torch", 1, 1, None, 60, dtype="bf16")
    assert (target.manifest["dtype"], target.header["dtype"], target.dtype) == ("bf16", "bf16", "bf16")
    again = target_of_header({"runtime": "torch 2", **target.header}, 60)
    assert again.manifest == target.manifest
    assert "dtype" not in cpu_target("torch", 1, 1, None, 60).manifest


def test_a_runtime_that_computes_in_float32_ends_the_measurement() -> None:
    with pytest.raises(InputError, match=r"--dtype bf16 has no effect here \(in f32\): leave it out"):
        check_computed(Error(0, "a", "in f32", "not_bf16"), {"dtype": "bf16"})
