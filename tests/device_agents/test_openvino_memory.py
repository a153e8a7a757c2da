"""What of OpenVINO's models stays in memory."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from device_agents.cpu import machine, openvino_runtime


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
