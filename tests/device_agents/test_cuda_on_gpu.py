"""What only an NVIDIA GPU can show. It was written without one; docs/gpus.md says what of it ran since, and on what."""

import json
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from device_agents.cuda.agent import prepared
from device_agents.cuda.device import Cuda
from device_agents.cuda.model import read_torchscript
from device_agents.cuda.onnx_visits import PROVIDERS, OnnxAgent
from ofa.blocks import Block
from ofa.errors import InputError
from ofa.graph import network_graph
from ofa.graph.onnx import write_onnx
from ofa.graph.torch import build_torch, write_torchscript
from ofa.tables import LatencyTable
from profilers.devices.nvidia import check_provider
from profilers.gpu import main

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here"),
]
BLOCK = Block("mbconv", 28, 40, 240, 40, 5, 1, "h_swish", True, True)
RULES = {
    "warmup_runs": 20, "warmup_seconds": 0.01, "warmup_max_seconds": 1.0, "settle": 0.01, "min_runs": 20,
    "max_runs": 200, "max_seconds": 0.05, "target_error": 0.001, "min_sample_us": 200,
}  # fmt: skip


@pytest.fixture(scope="module")
def gpu() -> Cuda:
    device = Cuda(torch.device("cuda:0"))
    device.open()
    return device


def model_file(folder: Path, batch: int = 8, shape: list[int] | None = None) -> Path:
    graph = network_graph((BLOCK,), batch=batch)
    (folder / "m.pt").write_bytes(write_torchscript(graph))
    (folder / "m.json").write_text(json.dumps({"input_shape": shape or graph.input_shape}))
    return folder / "m.pt"


def manifest(**changes: object) -> dict:
    return {
        "protocol": 1, "runtime": "torch", "device": "cuda:0", "dtype": "fp16", "mode": "graph", "seed": 0,
        "memory_format": "channels-last", "inputs": "cold", "rules": RULES, **changes,
    }  # fmt: skip


def test_a_replayed_graph_computes_what_the_model_does(gpu: Cuda, tmp_path: Path) -> None:
    model = read_torchscript(model_file(tmp_path)).to("cuda")
    with torch.inference_mode():
        images = torch.randn(8, 40, 28, 28, device="cuda")
        model(images)
        kept = torch.empty(8, 40, 28, 28, device="cuda")
        replay = gpu.recorded(lambda: kept.copy_(model(images)))
        for _ in range(2):
            images.normal_()
            replay()
            gpu.settle()
            assert torch.allclose(kept, model(images), atol=1e-4)


def test_events_measure_what_the_clock_on_the_wall_does(gpu: Cuda) -> None:
    matrix = torch.randn(4096, 4096, device="cuda")
    assert float((matrix @ matrix).norm()) > 0  # a capture may not hold the first product
    work = gpu.recorded(lambda: [matrix @ matrix for _ in range(20)])
    gpu.timed([work] * 3, lambda: None)
    import time

    gpu.settle()
    started = time.perf_counter_ns()
    for _ in range(10):
        work()
    gpu.settle()
    wall = (time.perf_counter_ns() - started) / 10
    samples = sorted(gpu.timed([work] * 11, lambda: None))
    assert samples[5] == pytest.approx(wall, rel=0.3)


@pytest.mark.parametrize("mode", ["graph", "eager"])
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_a_visit_tells_sound_figures(tmp_path: Path, mode: str, dtype: str) -> None:
    agent = prepared(manifest(mode=mode, dtype=dtype))
    results = [agent.visit("m", model_file(tmp_path)) for _ in range(2)]
    for result in results:
        assert min(result["samples_ns"]) > 1000
        assert result["input_buffers_bytes"] > agent.device.l2_bytes
        assert result["inputs"] == "cold"
        assert len(result["samples_ns"]) >= 20
    assert results[0]["calls_per_sample"] == results[1]["calls_per_sample"]


def test_fp32_is_not_tf32(tmp_path: Path) -> None:
    path = model_file(tmp_path)
    errors = {}
    for dtype in ("fp32", "tf32"):
        prepared(manifest(dtype=dtype))
        images = torch.randn(8, 40, 28, 28, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            exact = read_torchscript(path).double()(images.double())
            found = read_torchscript(path).cuda()(images.cuda()).cpu().double()
        errors[dtype] = float((found - exact).norm() / exact.norm())
    assert errors["fp32"] < 1e-5
    if torch.cuda.get_device_capability()[0] >= 8:
        assert errors["tf32"] > 3 * errors["fp32"]


def test_a_batch_beyond_memory_is_an_error_and_the_next_visit_is_made(tmp_path: Path) -> None:
    agent = prepared(manifest())
    (tmp_path / "huge").mkdir()
    with pytest.raises(MemoryError, match="out of memory"):
        agent.visit("huge", model_file(tmp_path / "huge", shape=[10_000_000, 40, 28, 28]))
    assert agent.visit("m", model_file(tmp_path))["samples_ns"]


def test_energy_is_told_where_nvml_is(tmp_path: Path) -> None:
    agent = prepared(manifest(energy_seconds=0.3))
    if agent.nvml.energy_mj() is None:
        pytest.skip(f"no energy counter: {agent.nvml.missing or 'not on this GPU'}")
    result = agent.visit("m", model_file(tmp_path))
    watts = 1e-3 * result["energy_mj"] / (1e-9 * min(result["samples_ns"]) / result["calls_per_sample"])
    assert 20 < watts < 1500
    assert result["energy_error_mj"] < 0.2 * result["energy_mj"]


def test_the_command_makes_a_table(tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    arguments = ["--space", "mbv3-w0.35", "--resolutions", "64", "--quick", "--limit", "5", "--out", str(out)]
    assert main(arguments) == 0
    table = LatencyTable.load(out)
    assert len(table.rows) == 5
    assert table.header["device"] == torch.cuda.get_device_name(0)
    assert table.header["dtype"] == "fp16"


def onnx_manifest(runtime: str, **changes: object) -> dict:
    return manifest(runtime=runtime, memory_format="contiguous", inputs="warm", **changes)


def require_provider(runtime: str) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    if runtime == "tensorrt" and not (find_spec("tensorrt") or find_library("nvinfer")):
        pytest.skip("TensorRT is not installed: onnxruntime offers its provider all the same")
    try:
        check_provider(runtime, "cuda:0")
    except InputError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("runtime", PROVIDERS)
def test_a_provider_computes_what_torch_does_and_its_runs_are_timed(tmp_path: Path, runtime: str, dtype: str) -> None:
    require_provider(runtime)
    graph = network_graph((BLOCK,), batch=8)
    path = tmp_path / "m.onnx"
    path.write_bytes(write_onnx(graph, half=dtype == "fp16"))
    agent = prepared(onnx_manifest(runtime, dtype=dtype), tmp_path)
    result = agent.visit("m", path)
    assert isinstance(agent, OnnxAgent)
    assert isinstance(agent.device, Cuda)
    assert agent.provider.name == PROVIDERS[runtime]
    assert min(result["samples_ns"]) > 1000
    (model,) = agent._kept
    agent.device.settle()
    images = torch.from_numpy(model.given.numpy()).float()
    expected = build_torch(graph)(images)
    tolerance = 1e-4 if dtype == "fp32" else 2e-2
    assert torch.allclose(torch.from_numpy(model.output.numpy()).float(), expected, rtol=tolerance, atol=tolerance)
    by_torch = prepared(manifest(dtype=dtype, memory_format="contiguous")).visit("t", model_file(tmp_path))
    each = [min(r["samples_ns"]) / r["calls_per_sample"] for r in (result, by_torch)]
    assert each[0] / each[1] > 0.1
    if agent.device.held_cycles:
        # a graph of launches that were waited for, as TensorRT's are, would take twenty times as long
        assert each[0] / each[1] < 10
    parts = agent.visit_parts([path, path])
    assert len(parts["parts_ns"]) == 2


def test_a_compiled_block_is_timed(tmp_path: Path) -> None:
    # the last, since compiling may take half a minute
    pytest.importorskip("triton", reason="torch.compile needs triton")
    agent = prepared(manifest(mode="compile"))
    assert min(agent.visit("m", model_file(tmp_path))["samples_ns"]) > 1000
