"""What a system that pins nothing means for the CPU profiler, and for whoever reads its table."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from device_agents.cpu.system import pin
from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.report.parts.provenance import made_in_words
from ofa.runs import system
from ofa.runs.system import keep_memory
from ofa.search.report import caveats
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.devices.local_cpu import cpu_target, target_of_header


@pytest.fixture
def unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.delattr("os.sched_setaffinity")
    monkeypatch.setattr("profilers.devices.local_cpu.check_runtime", lambda _: None)


@pytest.mark.usefixtures("unpinned")
def test_where_nothing_can_be_pinned_a_table_says_so_and_a_cpu_is_refused() -> None:
    target = cpu_target("onnxruntime", 1, 1, None, 1.0)
    assert (target.manifest["cpus"], target.header["pinned"]) == ([], "no")
    again = target_of_header({"runtime": "onnxruntime 1.32.0", "cpus": "none", "pinned": "no"}, 1.0)
    assert again.manifest["cpus"] == []
    with pytest.raises(InputError, match="leave --cpu out"):
        cpu_target("onnxruntime", 1, 1, [0], 1.0)
    with pytest.raises(InputError, match=re.escape("--threads is 4096, but this machine has ")):
        cpu_target("onnxruntime", 4096, 1, None, 1.0)
    pin([])
    with pytest.raises(OSError, match="cpus must be empty"):
        pin([0])


def test_a_pinned_table_does_not_say_so() -> None:
    assert "pinned" not in cpu_target("torch", 1, 1, None, 1.0).header


@pytest.mark.parametrize("pinned", ["yes", "no", None])
def test_search_and_report_say_that_cores_may_have_taken_turns(pinned: str | None) -> None:
    header = {"device": "d", "runtime": "r", "provenance": "measured", "space": "mbv3-w0.35", "source": "s"}
    header |= {} if pinned is None else {"pinned": pinned}
    row = TableRow(all_blocks(get_space("mbv3-w0.35"), [64])[0], latency_ms=1.0)
    table = LatencyTable(header=header, rows=(row,), path=Path("d.csv"))
    assert any("not pinned to a CPU" in line for line in caveats(table, [])) == (pinned == "no")
    assert ("pinned to no CPU" in made_in_words(header)) == (pinned == "no")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [((), 64), (("max\n", None), 64), (("16\n", None), 16), ((None, "9223372036854771712\n"), 64), ((None, "8"), 8)],
)
def test_memory_is_what_a_container_may_use(
    limits: tuple[str | None, ...], expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = [tmp_path / str(i) for i in range(len(limits))]
    for file, text in zip(files, limits, strict=True):
        if text is not None:
            file.write_text(text)
    monkeypatch.setattr(system.os, "sysconf", {"SC_PAGE_SIZE": 4, "SC_PHYS_PAGES": 16}.__getitem__, raising=False)
    monkeypatch.setattr(system, "_MEMORY_LIMITS", files)
    assert system.memory_bytes() == expected
    monkeypatch.delattr(system.os, "sysconf")  # as on Windows
    assert (system.memory_bytes() is None) == (limits in ((), ("max\n", None)))


@pytest.mark.skipif(not system.LINUX, reason="the memory of a process is read from /proc")
def test_memory_that_is_freed_is_kept() -> None:
    """By any thread, in a process of its own, which shall not keep this one's."""
    code = """
import sys, threading
from ofa.runs.system import keep_memory
def mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) // 256
if sys.argv[1] == "kept":
    keep_memory()
before = mib()
thread = threading.Thread(target=lambda: print(len(b"1" * (200 << 20)) >> 20))
thread.start()
thread.join()
between = mib()
filled = b"1" * (300 << 20)
del filled
print(between - before, mib() - before)
"""
    for way, least, most in (("kept", (190, 290), (250, 350)), ("given back", (-10, -10), (10, 10))):
        made, *grown = map(int, subprocess.check_output([sys.executable, "-c", code, way]).split())
        assert made == 200
        assert all(a <= found <= b for a, found, b in zip(least, grown, most, strict=True)), (way, grown)


def test_where_the_c_library_cannot_keep_memory_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "LINUX", False)
    keep_memory()


@pytest.mark.parametrize(
    ("most", "taken"),
    [
        (1 << 31, {-3: 1 << 30, -1: (1 << 31) - 1, -2: 64 << 20, -8: 1}),
        (32 << 20, {-3: 32 << 20, -1: (1 << 31) - 1, -2: 64 << 20, -8: 1}),  # glibc as in the man page mallopt(3)
        (0, {}),  # without the first, the others would make all memory come from the system
    ],
)
def test_a_c_library_that_takes_less_is_given_less(
    most: int, taken: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[int, int] = {}

    class Library:
        def __init__(self, _: None) -> None:
            pass

        def mallopt(self, option: int, value: int) -> int:
            refused = option == -3 and value > most
            if not refused:
                found[option] = value
            return int(not refused)

    monkeypatch.setattr(system, "LINUX", True)
    monkeypatch.setattr(system.ctypes, "CDLL", Library)
    keep_memory()
    assert found == taken
