"""`profilers.gpu --runtime onnxruntime-cuda` and `tensorrt`: the CPU in a GPU's place, and what is refused."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import onnx
import onnxruntime
import pytest
import torch

from ofa.blocks import all_blocks
from ofa.errors import InputError, NoDevice
from ofa.optional_packages import MissingPackage
from ofa.search.__main__ import main as search
from ofa.space import get_space
from ofa.tables import LatencyTable
from profilers.changes.at_hand import gpu_model
from profilers.changes.comparison import compare_tables
from profilers.devices import nvidia
from profilers.devices.from_header import target_of
from profilers.devices.nvidia import check_provider, found_devices, gpu_target, target_of_header
from profilers.gpu import COMMAND, main
from profilers.measuring.events import Done, Hello
from profilers.measuring.models import write_models
from profilers.measuring.pace import InPlacePace, Pace
from profilers.validate import main as validate
from profilers.whole_networks.measured import of_table
from tests.helpers.programs import ended
from tests.helpers.short import undoubted_visits

TINY = str(Path(__file__).resolve().parents[1] / "helpers" / "tiny.toml")
SMALL = ["--space", TINY, "--resolutions", "32", "--quick", "--rounds", "1", "--device", "cpu"]
ASKED = {"dtype": "fp16", "mode": "graph", "memory_format": "contiguous", "inputs": "warm"}
VERSION = onnxruntime.__version__


def hurry(patched: pytest.MonkeyPatch) -> None:
    """For tests of the way, not of the figures."""
    undoubted_visits(patched)
    rules = {**nvidia.RULES, "warmup_max_seconds": 0.001, "min_runs": 2, "max_runs": 4, "min_sample_us": 1}
    patched.setattr(nvidia, "PACE", Pace(rules, 1, rules, 1, rules, 1))
    patched.setattr(nvidia, "IN_PLACE", InPlacePace(rules, rules, 1, 1))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole table in place, by the CPU's provider."""
    out = tmp_path_factory.mktemp("measured") / "t.csv"
    with pytest.MonkeyPatch.context() as patched:
        hurry(patched)
        assert main([*SMALL, "--runtime", "onnxruntime-cuda", "--dtype", "fp32", "--out", str(out)]) == 0
    return out


def test_blocks_are_timed_in_networks_and_the_table_says_by_what(measured: Path) -> None:
    table = LatencyTable.load(measured)
    header = table.header
    assert (header["runtime"], header["agent"], table.timing) == (f"onnxruntime-cuda {VERSION}", "cuda", "in place")
    assert (header["provider"], header["inputs"], header["dtype"]) == ("CPUExecutionProvider", "warm", "fp32")
    assert header["timed_by"] == "the clock on the wall, each run waited for: launching it counts"
    assert header["in_place"].endswith("12 whole networks are their blocks")
    # what stands in a GPU's place is no GPU's figure
    assert (table.emulated, header["stand_in"]) == (True, "the CPU stood in a GPU's place, to test the command")
    assert all(row.warm_ms and row.latency_ms > 0 for row in table.rows)
    settings = json.loads(measured.with_suffix(".journal.jsonl").read_text().splitlines()[0])
    assert "onnxruntime-cuda" in json.dumps(settings)


def test_whole_networks_are_measured_beside_by_the_same_runtime(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hurry(monkeypatch)
    copy = tmp_path / "t.csv"
    copy.write_bytes(measured.read_bytes())
    code = validate(["--table", str(copy), "--networks", "10"])
    said = capsys.readouterr().out
    result = json.loads(copy.with_name("t.validation.json").read_text())
    assert (code in (0, 1), len(result["networks"]), result["runtime"]) == (True, 10, f"onnxruntime-cuda {VERSION}")
    assert "writing" in said


def test_of_eager_runs_only_torchs_are_said_to_call_its_operators() -> None:
    eager = {**ASKED, "mode": "eager"}
    targets = {runtime: gpu_target("cpu", eager, 2, 60.0, runtime) for runtime in nvidia.RUNTIMES}
    assert [runtime for runtime, target in targets.items() if "eager" in target.header] == ["torch"]
    # launched one by one, runs of every runtime need longer samples
    assert {target.pace.rules["min_sample_us"] for target in targets.values()} == {1000}


def test_a_search_refuses_what_the_cpu_stood_in_for(measured: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was measured on an emulated device"):
        search(["--table", str(measured), "--latency", "5", "--out", str(tmp_path / "s")])


@pytest.mark.parametrize("runtime", ["onnxruntime-cuda", "tensorrt"])
def test_the_table_asks_for_the_same_again(measured: Path, runtime: str) -> None:
    target = gpu_target("cpu", ASKED, 2, 60.0, runtime)
    table = LatencyTable.load(measured)
    versioned = {"onnxruntime-cuda": "onnxruntime-cuda 1.31.1", "tensorrt": "tensorrt 10.9.0, onnxruntime 1.31.1"}
    header = {**table.header, **target.header, "batch": "2", "runtime": versioned[runtime]}
    again = target_of(LatencyTable(header, table.rows, measured), 60.0)
    assert (again.manifest, again.header, again.batch) == (target.manifest, target.header, 2)
    # the providers take ONNX files, which are of the type that is computed in
    assert (again.runtime, again.dtype, again.manifest["runtime"]) == ("onnxruntime", "fp16", runtime)
    assert gpu_target("cpu", {**ASKED, "dtype": "tf32"}, 2, 60.0, runtime).dtype == "fp32"
    with pytest.raises(InputError, match=r"runtime is .tvm., expected one of torch, onnxruntime-cuda, tensorrt"):
        target_of_header({**header, "runtime": "tvm 1"}, 60.0)


def test_tables_of_two_runtimes_are_not_mixed(measured: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = LatencyTable.load(measured)
    other = LatencyTable({**table.header, "runtime": "tensorrt 10.9.0, onnxruntime 1.31.1"}, table.rows, measured)
    assert compare_tables(table, other).differences == (
        f"runtime: onnxruntime-cuda {VERSION} against tensorrt 10.9.0, onnxruntime 1.31.1",
    )
    hello = Hello("cuda", f"tensorrt of a version that is not known, onnxruntime {VERSION}", {})
    monkeypatch.setattr(nvidia, "local_agent", lambda *_: iter([hello, Done()]))
    with pytest.raises(InputError, match=f"was made with onnxruntime-cuda {VERSION}, installed is tensorrt"):
        list(of_table(target_of(table, 60.0), table).start(tmp_path, {}))


@pytest.mark.parametrize(("dtype", "kind"), [("fp16", onnx.TensorProto.FLOAT16), ("fp32", onnx.TensorProto.FLOAT)])
def test_models_are_of_the_type_that_is_computed_in(tmp_path: Path, dtype: str, kind: int) -> None:
    blocks = [block for block in all_blocks(get_space("proxyless-w1.3"), [32]) if block.activation == "relu6"]
    target = gpu_target("cpu", {**ASKED, "dtype": dtype}, 2, 60.0, "tensorrt")
    files = write_models({"n": tuple(blocks[:1])}, target.runtime, tmp_path, 2, target.dtype)
    model = onnx.load(tmp_path / files["n"])
    onnx.checker.check_model(model, full_check=True)
    ends = [*model.graph.input, *model.graph.output]
    assert {end.type.tensor_type.elem_type for end in ends} == {kind}
    assert {tensor.data_type for tensor in model.graph.initializer} == {kind}


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--dtype", "bf16"], "tensorrt has no --dtype bf16: use --dtype fp32 or tf32 or fp16, or --runtime torch"),
        (["--mode", "compile"], "has no --mode compile: use --mode graph or eager"),
        (["--inputs", "cold"], "has no --inputs cold: use --inputs warm"),
        (["--memory-format", "channels-last"], "has no --memory-format channels-last: use --memory-format contiguous"),
        (["--dtype", "int8"], "--dtype"),
        (["--runtime", "torch", "--timing", "in-place"], "--runtime torch times blocks alone"),
        (["--runtime", "tvm"], "--runtime"),
    ],
)  # fmt: skip
def test_what_a_runtime_cannot_do_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    out = tmp_path / "t.csv"
    done = ended(main, capsys, "--runtime", "tensorrt", "--device", "cpu", *options, "--out", out)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_onnxruntime_is_missing_or_has_no_such_provider(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(nvidia, "found_devices", lambda *_: ["cuda:0"])
    monkeypatch.setattr("profilers.devices.nvidia.find_spec", lambda _: None)
    done = ended(main, capsys, "--runtime", "tensorrt", "--out", tmp_path / "t.csv")
    assert (done.returncode, done.stderr) == (
        2, "error: --runtime tensorrt needs onnxruntime-gpu: pip install onnxruntime-gpu\n",
    )  # fmt: skip
    with pytest.raises(MissingPackage, match="--runtime onnxruntime-cuda needs onnxruntime-gpu"):
        check_provider("onnxruntime-cuda", "cpu")
    monkeypatch.setattr("profilers.devices.nvidia.find_spec", lambda _: object())
    fake = SimpleNamespace(__version__="9", get_available_providers=lambda: ["CUDAExecutionProvider", "CPU"])
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    check_provider("onnxruntime-cuda", "cuda:0")
    check_provider("tensorrt", "cpu")
    check_provider("torch", "cuda:0")
    done = ended(main, capsys, "--runtime", "tensorrt", "--out", tmp_path / "t.csv")
    assert (done.returncode, done.stderr) == (
        2,
        "error: onnxruntime 9 here has no TensorrtExecutionProvider (it has CUDAExecutionProvider, CPU): pip uninstall "
        "onnxruntime, then pip install onnxruntime-gpu\n",
    )
    # from 1.24 on a provider may be a library of its own
    plugged = [SimpleNamespace(ep_name="TensorrtExecutionProvider")]
    monkeypatch.setattr(fake, "get_ep_devices", lambda: plugged, raising=False)
    check_provider("tensorrt", "cuda:0")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch is built with CUDA")
def test_a_provider_may_run_where_torch_has_no_cuda() -> None:
    assert found_devices("cuda:1", "tensorrt") == ["cuda:1"]
    with pytest.raises(NoDevice, match="there is no CUDA GPU here: torch "):
        found_devices("cuda:1")


def test_a_table_is_made_again_where_the_gpu_and_the_provider_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_model("cpu", "tensorrt") is None
    monkeypatch.setattr(nvidia, "found_devices", lambda *_: ["cuda:0"])
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(NoDevice, match="has no TensorrtExecutionProvider"):
        gpu_model("cuda", "tensorrt")
    monkeypatch.setattr(nvidia, "check_provider", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("device_agents.cuda.kernel.told_name", lambda: "NVIDIA Jetson")
    assert gpu_model("cuda", "tensorrt") == "NVIDIA Jetson"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    assert gpu_model("cuda", "torch") == "NVIDIA H200"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_agent_that_cannot_start_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real agent, and an onnxruntime that has no provider for GPUs, as far as only the agent is asked."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nvidia, "check_provider", lambda *_: None)
        patched.setattr(nvidia, "found_devices", lambda *_: ["cuda:0"])
        arguments = ["--runtime", "onnxruntime-cuda", "--space", "mbv3-w0.35", "--resolutions", "32", "--limit", "3"]
        done = ended(main, capsys, *arguments, "--out", tmp_path / "t.csv")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("error: the agent cannot start: CUDAExecutionProvider does not run here: ")
    assert not (tmp_path / "t.csv").exists()


def test_engines_take_minutes_to_build_and_that_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    monkeypatch.setattr(nvidia, "local_agent", lambda *given: waited.append(given[-1]) or iter([]))
    for runtime, timeout_s in (("tensorrt", 60.0), ("tensorrt", 900.0), ("onnxruntime-cuda", 60.0)):
        list(gpu_target("cpu", ASKED, 1, timeout_s, runtime).start(Path(), {}))
    assert waited == [600.0, 900.0, 60.0]


def test_inputs_and_timing_follow_the_runtime(tmp_path: Path) -> None:
    def parsed(*options: str):
        return COMMAND.parse([*options, "--out", str(tmp_path / "t.csv")])

    for options, inputs, in_place in (
        ((), "cold", False),
        (("--runtime", "tensorrt"), "warm", True),
        (("--runtime", "tensorrt", "--timing", "warm"), "warm", False),
        (("--runtime", "onnxruntime-cuda", "--limit", "3"), "warm", False),
        (("--inputs", "warm"), "warm", False),
    ):
        assert (parsed(*options).asked["inputs"], parsed(*options).in_place) == (inputs, in_place)
