"""`python -m profilers.energy` on a device whose battery is planted: energies, estimates for blocks, and refusals."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ofa.blocks import all_blocks, blocks_of
from ofa.blocks.costs import block_macs
from ofa.errors import InputError, UsageError
from ofa.search.__main__ import main as search
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.energy import main
from profilers.measuring.events import AgentFailed, Begins, Done, Event, Hello, Result
from profilers.measuring.target import Target

SPACE = get_space("mbv3-w0.35", 10)
WATTS, PER_MMAC, IDLE_MW, VOLTS = 0.6, 0.01, 350.0, 4.0
FACTS = {
    "device": "Phone", "soc": "planted", "runtime": "litert 1", "provenance": "measured", "space": SPACE.name,
    "source": "a test", "agent": "android", "resolutions": "48, 96",
}  # fmt: skip


def alone_ms(block: Any) -> float:
    return round(0.01 + block_macs(block) / 2e7, 6)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [TableRow(block, alone_ms(block)) for block in all_blocks(SPACE, [48, 96])]
    LatencyTable(FACTS, rows).save(tmp_path / "phone.csv")
    return tmp_path / "phone.csv"


class Phone:
    """Takes IDLE_MW, and what its networks need on top; shows its current in milliamperes, positive.

    act: told of every window, before it is told of; it may change what is told
    """

    def __init__(self, genes: Callable[[], list[list[int]]], act: Callable[[int, dict[str, Any]], object]) -> None:
        self.genes, self.act, self.windows, self.asked = genes, act, 0, list[tuple[str, Any]]()

    def target(self) -> Target:
        return Target("onnxruntime", 1, {}, self._agent, {})

    def _agent(self, folder: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
        path, rate = manifest["models"][0]["path"], manifest["sustained"]["rate_hz"]
        assert (folder / path).is_file()
        self.asked.append((path, rate))
        number = int(re.findall(r"[0-9]+", path)[0])
        chain = blocks_of(SPACE, SPACE.decode(SPACE.as_genes(self._genes()))[number])
        ms, mj = sum(map(alone_ms, chain)), sum(WATTS * alone_ms(b) + PER_MMAC * block_macs(b) / 1e6 for b in chain)
        seconds = manifest["sustained"]["window_seconds"]
        runs = 1 if rate else max(1, round(1000 * seconds / ms))
        yield Hello("android", "litert 1", {"soc": "planted"})
        for i, name in enumerate(manifest["visits"]):
            yield Begins(i, name)
            power = IDLE_MW + mj * runs / seconds if i > 2 else 9999.0
            watched = {
                "loop_ns": round(i * seconds * 1e9), "timed_ns": round(seconds * 1e9), "late": 0, "plugged": 0,
                "battery_current": power / VOLTS, "battery_voltage": 1e6 * VOLTS, "battery_status": "Discharging",
            }  # fmt: skip
            self.act(self.windows, watched)
            self.windows += 1
            yield Result(i, name, [max(1, round(ms * 1e6))] * runs, None, 1, watched)
        yield Done()

    def _genes(self) -> Any:
        import numpy as np

        return np.array(self.genes(), dtype=np.uint16)


Run = Callable[..., Phone]


@pytest.fixture
def run(table: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def measure(*options: str, act: Callable[[int, dict[str, Any]], object] = lambda *_: None) -> Phone:
        def genes() -> list[list[int]]:
            first = table.with_suffix(".energy.journal.jsonl").read_text().splitlines()[0]
            networks: list[list[int]] = json.loads(first)["settings"]["networks"]
            return networks

        phone = Phone(genes, act)
        monkeypatch.setattr("profilers.devices.from_header._phone", lambda *_: _Opened(phone.target()))
        assert main(["--table", str(table), "--networks", "6", *options]) == 0
        return phone

    return measure


class _Opened:
    def __init__(self, target: Target) -> None:
        self.target = target

    def __enter__(self) -> Target:
        return self.target

    def __exit__(self, *_: object) -> None: ...


def test_a_boards_energies_are_of_its_input(run: Run, table: Path) -> None:
    def rail(_: int, watched: dict[str, Any]) -> None:
        watched |= {"battery_voltage": 1000 * VOLTS, "battery_source": "INA3221 VDD_IN"}
        watched |= {"battery_status": None, "plugged": None}

    run(act=rail)
    header = LatencyTable.load(table).header
    assert header["energy_counter"] == "the board's input, INA3221 VDD_IN, what an idle device takes subtracted"
    assert header["energy_rests_on"].endswith("the power of the whole board, by its sensor INA3221 VDD_IN")
    assert float(header["energy_model"].split(" mJ")[0]) == pytest.approx(WATTS, rel=0.02)


def test_energies_are_found_estimated_for_blocks_and_searched_by(
    run: Run, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phone = run()
    # each network twice: half a minute idle, half a minute of runs
    assert [rate for _, rate in phone.asked] == [0.4, None] * 12
    assert [path for path, _ in phone.asked[::2]] == [path for path, _ in phone.asked[1::2]]
    assert sorted(path for path, _ in phone.asked[::2][:6]) == sorted({path for path, _ in phone.asked})
    measured = LatencyTable.load(table)
    header = measured.header
    for row in measured.rows:
        assert row.energy_mj == pytest.approx(WATTS * row.latency_ms + PER_MMAC * block_macs(row.block) / 1e6, abs=2e-4)
    assert header["energy_provenance"] == "estimated"
    assert (
        "idle 350 mW; the battery's numbers were taken for milliamperes and microvolts, positive when it dis"
        in (header["energy_rests_on"])
    )
    content = json.loads((tmp_path / "phone.energy.json").read_text())
    assert len(content["networks"]) == 6
    for network in content["networks"]:
        chain = blocks_of(SPACE, SPACE.subnet_from_dict(network["subnet"]))
        mj = sum(WATTS * alone_ms(b) + PER_MMAC * block_macs(b) / 1e6 for b in chain)
        assert network["energy_mj"] == pytest.approx(mj, rel=1e-4)
        assert len(network["turns_mj"]) == 2
    out = capsys.readouterr().out
    assert "measured 12 of 12 turns of a minute, about 0 min left" in out
    assert f"wrote {tmp_path / 'phone.energy.json'}, and an estimated energy of every block into {table}" in out
    asked = ["--table", str(table), "--latency", "0.5", "--max-energy", "0.34", "--out", str(tmp_path / "out")]
    assert search(asked) == 0
    (result,) = json.loads((tmp_path / "out/result.json").read_text())["results"]
    assert result["energy_mj"] <= 0.34
    assert "energies are ESTIMATED by a model of whole networks (the battery's current and voltage" in " ".join(
        capsys.readouterr().out.split()
    )


def test_finished_turns_are_kept_and_a_resumed_run_makes_the_others(
    run: Run, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = table.read_bytes()

    def interrupt(window: int, _: object) -> None:
        if window == 5 * 24 + 13:
            raise KeyboardInterrupt

    def plug_in(window: int, watched: dict[str, Any]) -> None:
        if window == 2 * 24:
            watched["plugged"] = 1

    def die(window: int, _: object) -> None:
        if window == 1:
            raise AgentFailed("the agent was ended by signal 9")

    with pytest.raises(SystemExit) as left:
        run(act=interrupt)
    assert left.value.code == 130
    assert re.search("stopped; finished turns are in .*; continue with: .* --resume", capsys.readouterr().err)
    with pytest.raises(InputError, match=r"\(a charger or USB is connected\): reach the phone over Wi-Fi"):
        run("--resume", act=plug_in)
    with pytest.raises(InputError, match=r"ended by signal 9; finished turns are in .*; continue with: .* --resume"):
        run("--resume", act=die)
    assert table.read_bytes() == before
    with pytest.raises(InputError, match=r"phone\.energy\.journal\.jsonl is the journal of an interrupted run"):
        run()
    assert len(run("--resume").asked) == 2 * (12 - 5 - 2)
    resumed = table.read_bytes()
    run()
    assert re.sub(rb"[0-9-]{10}", b"", table.read_bytes()) == re.sub(rb"[0-9-]{10}", b"", resumed)


def test_a_longer_half_has_more_windows_and_a_journal_that_was_edited_is_refused(
    run: Run, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # of as long windows as before: a gauge shows no more by looking seldom
    phone = run("--half", "60")
    assert phone.windows == 12 * 2 * 24
    assert "measured 12 of 12 turns of 2 minutes" in capsys.readouterr().out
    assert ", 2 times 60 s each" in LatencyTable.load(table).header["energy_rests_on"]
    path = table.with_suffix(".energy.journal.jsonl")
    before = table.read_bytes()
    path.write_text(path.read_text().replace('"runs": 1,', '"runs": "1",'))
    with pytest.raises(InputError, match=r"phone\.energy\.journal\.jsonl is damaged, or of another measurement"):
        run("--half", "60", "--resume")
    assert table.read_bytes() == before
    with pytest.raises(UsageError, match=r"--half is 5\.0, expected seconds from 30 to 3600"):
        run("--half", "5")


def test_a_table_without_a_battery_is_refused(run: Run, table: Path) -> None:
    read = LatencyTable.load(table)
    for facts, words in (
        ({"agent": "cpu"}, r"phone\.csv is of the agent 'cpu': batteries are those of phones and boards"),
        ({"agent": "cuda"}, "was measured by the agent 'cuda', which runs no loops"),
        ({"emulated": "yes"}, "was measured on an emulated device"),
        ({"provenance": "estimated"}, "is estimated: only a measured table"),
    ):
        LatencyTable({**read.header, **facts}, read.rows).save(table)
        with pytest.raises(InputError, match=words):
            run()
    with pytest.raises(UsageError, match="--networks is 4, expected at least 5: its model's error would mean nothing"):
        main(["--table", str(table), "--networks", "4"])


def test_a_device_that_does_not_tell_is_refused_at_its_first_window(run: Run) -> None:
    def closed(_: int, watched: dict[str, Any]) -> None:
        watched["battery_current"] = None

    with pytest.raises(InputError, match="does not report its battery's current and voltage"):
        run(act=closed)
