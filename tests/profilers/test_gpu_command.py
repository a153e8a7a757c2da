"""`python -m profilers.gpu` with the real agent on CPU tensors, and what it says where there is no GPU."""

import io
import json
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa.blocks import all_blocks
from ofa.errors import InputError, NoDevice
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.devices import nvidia
from profilers.devices.from_header import target_of
from profilers.devices.nvidia import found_devices, gpu_target, target_of_header
from profilers.gpu import COMMAND, GpuConfig, main
from profilers.measuring.events import Done, Hello
from profilers.measuring.pace import Pace
from profilers.measuring.target import Target
from profilers.profiling import beside
from profilers.validate import main as validate
from profilers.whole_networks import measured as whole_networks
from profilers.whole_networks.choosing import Chosen
from profilers.whole_networks.measured import MeasuredNetworks
from tests.helpers.programs import ended
from tests.helpers.short import undoubted_visits

SMALL = ["--space", "mbv3-w0.35", "--resolutions", "32", "--quick", "--dtype", "fp32", "--rounds", "1"]
ASKED = {"dtype": "fp16", "mode": "eager", "memory_format": "contiguous", "inputs": "warm"}
BLOCKS = all_blocks(get_space("mbv3-w0.35"), [32])


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the way, not of the figures."""
    undoubted_visits(monkeypatch)
    rules = {**nvidia.RULES, "warmup_max_seconds": 0.001, "min_runs": 2, "max_runs": 4, "min_sample_us": 1}
    monkeypatch.setattr(nvidia, "PACE", Pace(rules, 1, rules, 1, rules, 1))


def table_of(folder: Path, latency_ms: float) -> Path:
    """A table whose blocks all take as long."""
    asked = gpu_target("cpu", {**ASKED, "dtype": "fp32"}, 2, 60.0).header
    header = {
        "device": "D", "runtime": f"torch {torch.__version__}", "provenance": "measured", "space": "mbv3-w0.35",
        "source": "test", "resolutions": "32", "batch": "2", **asked,
    }  # fmt: skip
    path = folder / "t.csv"
    LatencyTable(header, [TableRow(block, latency_ms) for block in BLOCKS]).save(path)
    return path


def gpu_count(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_a_table_made_on_the_cpu_says_so_and_tells_no_energy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    undoubted_visits(monkeypatch)
    out = tmp_path / "t.csv"
    assert main([*SMALL, "--limit", "4", "--device", "cpu", "--batch-size", "2", "--energy", "--out", str(out)]) == 0
    table = LatencyTable.load(out)
    assert [row.block for row in table.rows] == list(BLOCKS[:4])
    assert {key: table.header[key] for key in ("agent", "cuda_device", "dtype", "mode", "inputs", "batch")} == {
        "agent": "cuda", "cuda_device": "cpu", "dtype": "fp32", "mode": "graph", "inputs": "cold", "batch": "2",
    }  # fmt: skip
    assert table.header["emulated"] == "yes"
    assert table.header["stand_in"] == "the CPU stood in a GPU's place, to test the command"
    assert table.emulated
    assert table.header["nvml"] == "not to be had: this is a CPU"
    assert {row.energy_mj for row in table.rows} == {None}
    assert "energy: known for none of 4 blocks; energy counter: not known" in capsys.readouterr().out


@dataclass(frozen=True)
class Validated:
    """A table of which whole networks were measured, by `profilers.validate`; what it was before, the exit code."""

    path: Path
    before: bytes
    code: int
    measured: MeasuredNetworks


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Validated:
    measure, found = whole_networks.measure_networks, list[MeasuredNetworks]()

    def kept(*given: Any, **more: Any) -> MeasuredNetworks:
        found.append(measure(*given, **more))
        return found[-1]

    # ten times what a block takes: wrong enough to be seen, and near enough that a correction of the sums can be fitted
    path = table_of(tmp_path_factory.mktemp("validated"), 2.0)
    before = path.read_bytes()
    with pytest.MonkeyPatch.context() as patched:
        hurry(patched)
        patched.setattr(whole_networks, "measure_networks", kept)
        code = validate(["--table", str(path), "--networks", "10"])
    (measured,) = found
    return Validated(path, before, code, measured)


def test_whole_networks_are_measured_as_the_table_was(validated: Validated) -> None:
    path = validated.path
    assert validated.code == 1
    result = json.loads((path.with_name("t.validation.json")).read_text())
    assert len(result["networks"]) == 10
    assert all(0 < network["measured_ms"] < 1000 for network in result["networks"])
    # single blocks do not take the 2 ms that the table says: it is not judged by this machine
    assert result["machine_pct"] < -20
    assert path.read_bytes() == validated.before
    settings = json.loads(path.with_suffix(".validation.journal.jsonl").read_text().splitlines()[0])
    assert settings["kind"] == "settings"


def test_a_table_of_another_device_is_named(
    validated: Validated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured_before(_: Chosen, __: Target, measure: partial[Any], **___: object) -> MeasuredNetworks:
        measure.keywords["journal"].close()
        return validated.measured

    monkeypatch.setattr(whole_networks, "measure_networks", measured_before)
    path = table_of(tmp_path, 5000.0)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))} is not of this device as it is now: "):
        validate(["--table", str(path), "--networks", "10"])


def test_the_layout_is_pytorchs_own_unless_the_other_is_asked_for(tmp_path: Path) -> None:
    asked = [*SMALL, "--out", str(tmp_path / "t.csv")]
    assert COMMAND.parse(asked).memory_format == GpuConfig.memory_format == "contiguous"
    assert COMMAND.parse([*asked, "--memory-format", "channels-last"]).memory_format == "channels-last"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = ended(main, capsys, "--out", tmp_path / "t.csv")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: there is no CUDA GPU here: torch ")
    assert "python -m profilers.cpu" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_devices_are_found_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_count(monkeypatch, 2)
    assert found_devices("cuda") == ["cuda:0"]
    assert found_devices("cuda:0,cuda:1") == ["cuda:0", "cuda:1"]
    with pytest.raises(NoDevice, match="--device names cuda:2, there is cuda:0, cuda:1"):
        found_devices("cuda:0,cuda:2")
    for wrong in ("gpu", "cuda:x", "", "cuda:0,cuda", "cuda:0,"):
        with pytest.raises(InputError, match="expected different ones such as cuda:0"):
            found_devices(wrong)


def test_the_table_asks_for_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_count(monkeypatch, 1)
    target = gpu_target("cuda:0", ASKED, 64, 60.0)
    header = {"device": "D", "runtime": "torch 2", "provenance": "measured", "space": "mbv3-w0.35", "source": "test"}
    table = LatencyTable({**header, "batch": "64", **target.header}, [TableRow(BLOCKS[0], 1.0)])
    again = target_of(table, 60.0)
    assert (again.manifest, again.batch, again.header) == (target.manifest, 64, target.header)
    gpu_count(monkeypatch, 0)
    with pytest.raises(NoDevice, match="None: there is no CUDA GPU here"):
        target_of(table, 60.0)
    with pytest.raises(InputError, match="the header has no '# dtype"):
        target_of_header({"cuda_device": "cuda:0", "batch": "1"}, 60.0)
    with pytest.raises(InputError, match=r"by the agent 'tpu': whole networks .* this machine \(cpu, cuda\)"):
        target_of(LatencyTable({**header, "agent": "tpu"}, table.rows), 60.0)


def test_operators_launched_one_by_one_take_longer_samples_and_the_table_says_what_was_called() -> None:
    eager, graph = (gpu_target("cpu", {**ASKED, "mode": mode}, 1, 60.0) for mode in ("eager", "graph"))
    for pace, least in ((eager.pace, 1000), (graph.pace, 200)):
        assert {rules["min_sample_us"] for rules in (pace.rules, pace.quick, pace.whole)} == {least}
    assert eager.header["eager"].startswith("ATen operators called one by one")
    assert "eager" not in graph.header
    # of whole networks the runs before the first sample are few: each is as long as a sample
    assert graph.pace.whole["warmup_runs"] == 6


def test_other_processes_are_warned_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    hello = Hello("cuda", "torch 2", {"other_processes": [17, 23]})
    monkeypatch.setattr(nvidia, "local_agent", lambda *_: iter([hello, Done()]))
    assert list(gpu_target("cuda:0", ASKED, 1, 60.0).start(Path(), {})) == [hello, Done()]
    assert "warning: cuda:0 is also used by process 17, 23" in capsys.readouterr().err


# ---- several GPUs


def fake_children(monkeypatch: pytest.MonkeyPatch, folder: Path, factors: list[float], **header: str) -> None:
    """In place of a process a device: writes its table, all latencies times its factor."""
    facts = {
        "device": "D", "soc": "H100", "runtime": "torch 2", "provenance": "measured", "space": "mbv3-w0.35",
        "source": "test",
    }  # fmt: skip

    class Child:
        started = 0

        def __init__(self, command: list[str], **_: object) -> None:
            number, Child.started = Child.started, Child.started + 1
            given = {command[i]: command[i + 1] for i in range(len(command) - 1)}  # the last of two counts
            assert given["--device"] == f"cuda:{number}"
            assert given["--rounds"] == "2", "three rounds of two devices"
            rows = [
                TableRow(b, (1 + i) * factors[number], 0.1, 2.0, 10, 3.0 + 2 * number) for i, b in enumerate(BLOCKS)
            ]
            other = header if number else {}
            LatencyTable({**facts, "cuda_device": given["--device"], **other}, rows).save(given["--out"])
            self.stdout = io.StringIO(f"wrote {given['--out']}\n")

        def wait(self) -> int:
            return 0

        def terminate(self) -> None:
            pass

    gpu_count(monkeypatch, 2)
    monkeypatch.setattr(beside.subprocess, "Popen", Child)
    monkeypatch.chdir(folder)


def test_tables_of_gpus_that_agree_are_merged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_children(monkeypatch, tmp_path, [1.0, 1.01])
    assert main(["--device", "cuda:0,cuda:1", "--out", "t.csv"]) == 0
    merged = LatencyTable.load("t.csv")
    assert [row.latency_ms for row in merged.rows] == pytest.approx([1.005 * (1 + i) for i in range(len(BLOCKS))])
    assert {(row.energy_mj, row.runs, row.mad_ms) for row in merged.rows} == {(4.0, 20, 0.1)}
    assert merged.header["cuda_device"] == "cuda:0, cuda:1"
    assert merged.header["merged"].startswith("mean of 2 devices, which differ by 1.00 % (median over blocks)")
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", "t-cuda0.csv", "t-cuda1.csv"}
    assert "cuda:1: wrote t-cuda1.csv" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"t.csv exists: start again with --overwrite"):
        main(["--device", "cuda:0,cuda:1", "--out", "t.csv"])


@pytest.mark.parametrize(
    ("factor", "header", "words"),
    [
        (1.03, {}, "the devices differ by 3.00 % (median over blocks)"),
        (1.0, {"soc": "H200"}, "the devices are not alike (H100 and H200)"),
    ],
)
def test_gpus_that_do_not_agree_keep_their_own_tables(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    factor: float,
    header: dict,
    words: str,
) -> None:
    fake_children(monkeypatch, tmp_path, [1.0, factor], **header)
    assert main(["--device", "cuda:0,cuda:1", "--out", "t.csv"]) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"t-cuda0.csv", "t-cuda1.csv"}
    assert words in capsys.readouterr().out


def test_two_real_processes_are_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What such a process does is seen above, of one: these bring their tables along, and load no torch."""
    made, out, program = tmp_path / "made.csv", tmp_path / "t.csv", tmp_path / "python"
    table = LatencyTable.load(table_of(tmp_path, 2.0))
    LatencyTable({**table.header, "soc": "S"}, table.rows).save(made)
    program.write_text(
        f"#!{sys.executable} -IS\n"
        "import json, shutil, sys, time\n"
        "given = dict(zip(sys.argv[1:], sys.argv[2:]))  # of an option that is given twice the last counts\n"
        "print(json.dumps(sys.argv[1:]))\n"
        "time.sleep(0.1)\n"
        f"shutil.copy({str(made)!r}, given['--out'])\n"
        "print('wrote', given['--out'])\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    done = ended(main, capsys, *SMALL, "--device", "cpu:0,cpu:1", "--overwrite", "--out", out)
    assert done.returncode == 0
    for i in (0, 1):
        words, wrote = (line.removeprefix(f"cpu:{i}: ") for line in done.stdout.splitlines() if f"cpu:{i}: " in line)
        dash, module, *options = json.loads(words)
        assert (dash, module) == ("-m", main.__module__)
        asked = COMMAND.parse(options)
        assert (asked.device, asked.out, wrote) == (f"cpu:{i}", tmp_path / f"t-cpu{i}.csv", f"wrote {asked.out}")
        assert LatencyTable.load(asked.out).rows == table.rows
    assert LatencyTable.load(out).rows == table.rows
