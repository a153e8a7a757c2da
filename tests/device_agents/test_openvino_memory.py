"""What of OpenVINO's models stays in memory."""

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from device_agents.cpu import machine, openvino_runtime
from ofa.blocks import Block
from profilers.measuring.models import write_models


@pytest.mark.parametrize(
    ("available", "half"), [("MemAvailable: 501 kB", True), ("MemAvailable: 500 kB", False), ("MemFree: 900 kB", False)]
)
def test_half_of_the_memory_is_available_where_the_kernel_says_so(
    available: str, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "read_text", {"/proc/meminfo": f"MemTotal: 1000 kB\n{available}"}.get)
    assert machine.half_is_available() is half


@pytest.mark.parametrize(
    ("folder", "limit", "used"),
    [("", "memory.max", "anon"), ("/memory", "memory.limit_in_bytes", "total_rss")],
)
@pytest.mark.parametrize(("most", "in_use", "half"), [("1000", 499, True), ("1000", 500, False), ("max", 500, True)])
def test_half_of_a_containers_memory_is_available_too(
    folder: str, limit: str, used: str, most: str, in_use: int, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells it of the whole machine's memory, in which it would see no limit."""
    texts = {
        "/proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 900 kB",
        f"/sys/fs/cgroup{folder}/{limit}": most,
        f"/sys/fs/cgroup{folder}/memory.stat": f"cache 9000\n{used} {in_use}\nfile 9000",
    }
    monkeypatch.setattr(machine, "read_text", texts.get)
    assert machine.half_is_available() is half


def test_a_model_that_stays_loaded_lets_go_of_the_memory_of_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every visit would have the luck of the first one's."""
    calls: list[str] = []
    model = SimpleNamespace(release_memory=lambda: calls.append("released"))
    monkeypatch.setitem(openvino_runtime._loaded, (Path("1.onnx"), 1, "fp32"), model)
    assert openvino_runtime._compiled(Path("1.onnx"), 1, "fp32") is model
    assert calls == ["released"]


@pytest.mark.parametrize("of_its_own", [False, True])
def test_models_that_stay_loaded_make_room_for_one_that_cannot_be_compiled_beside_them(
    of_its_own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads and memory end before half of the memory does: a container's limits are many."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'ofa-latency[openvino]'")
    blocks = {f"b{i}": (Block("mbconv", 8, 8, 24 + 8 * i, 8, 3, 1, "relu", False, True),) for i in range(20)}
    files = [tmp_path / file for file in write_models(blocks, "openvino", tmp_path, 1).values()]
    core = openvino_runtime._openvino_core()
    loaded: dict[tuple[Path, int, str], object] = {}
    failing = files[12]

    def compile_model(model: object, *given: object) -> object:
        if len(loaded) >= 9 or (of_its_own and compiling == failing):
            raise RuntimeError("Resource temporarily unavailable")
        return core.compile_model(model, *given)

    limited = SimpleNamespace(read_model=core.read_model, import_model=core.import_model, compile_model=compile_model)
    monkeypatch.setattr(openvino_runtime, "_openvino_core", lambda: limited)
    monkeypatch.setattr(openvino_runtime, "_loaded", loaded)
    monkeypatch.setattr(openvino_runtime, "_full", threading.Event())
    monkeypatch.setattr(openvino_runtime, "half_is_available", lambda: True)
    for _ in range(2):
        failed = []
        for compiling in files:
            try:
                openvino_runtime.load_openvino(compiling, 1, np.random.default_rng(3))()
            except RuntimeError:
                failed.append(compiling)
        assert failed == ([failing] if of_its_own else [])
    assert openvino_runtime._full.is_set()
    assert not loaded
    compiling = files[0]
    openvino_runtime.prepare_openvino(compiling, 1)
    assert not loaded
