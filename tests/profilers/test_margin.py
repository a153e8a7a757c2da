"""`python -m profilers.margin` on a device whose latencies are known: occasions, the margin of them, a check of it."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import Block, all_blocks, blocks_of
from ofa.blocks.costs import block_macs
from ofa.errors import InputError, UsageError
from ofa.search.__main__ import main as search
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.devices import from_header
from profilers.devices.access_options import AccessOptions
from profilers.margin import main
from profilers.measuring.target import Target
from profilers.whole_networks import margin_run
from tests.profilers.whole_networks.planted import RUNTIME, SOC, PlantedDevice

SPACE, RESOLUTIONS = get_space("mbv3-w0.35", 10), (48,)
HEADER = {
    "device": "D",
    "runtime": RUNTIME,
    "provenance": "measured",
    "space": SPACE.name,
    "source": "test",
    "soc": SOC,
}
# a check of nothing, as a file that was edited may have one
NO_CHECK = {"confidence": 95.0, "when": "2026-11-26T12:00:00+00:00", "machine_pct": 0.0, "measured_ms": []}
NO_CHECK |= {"winners": [], "costs_top1": []}


def alone_ms(block: Block) -> float:
    return round(0.001 + block_macs(block) / 1e8, 6)


class Device(PlantedDevice):
    """Blocks take what the table says times `slower`; networks up to 20 % more, each its own share of that."""

    def __init__(self) -> None:
        super().__init__(self._latency)
        self.slower = 1.0

    def share(self, chain: Sequence[Block]) -> float:
        return int.from_bytes(hashlib.blake2b(repr(chain).encode(), digest_size=4).digest(), "big") / 2**32

    def _latency(self, chain: Sequence[Block]) -> float:
        more = 1.0 if len(chain) == 1 else 1 + 0.2 * self.share(chain)
        return self.slower * more * sum(map(alone_ms, chain))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    planted = Device()
    monkeypatch.setattr("profilers.devices.from_header.target_of", lambda *_: planted.target())
    monkeypatch.setattr(
        margin_run,
        "measure_shown",
        lambda *plan, journal, **_shown: planted.measure(*plan, journal=journal),
    )
    return planted


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [TableRow(block, alone_ms(block)) for block in all_blocks(SPACE, RESOLUTIONS)]
    LatencyTable(HEADER, rows).save(tmp_path / "t.csv")
    return tmp_path / "t.csv"


def chain_of(winner: dict) -> tuple[Block, ...]:
    return blocks_of(SPACE, SPACE.subnet_from_dict(winner["subnet"]))


def test_two_occasions_make_a_margin_that_others_keep(device: Device, table: Path, tmp_path: Path, capsys) -> None:
    command = ["--table", str(table), "--visits", "2", "--winners", "19"]
    rows = LatencyTable.load(table).rows
    assert main(command) == 0
    assert LatencyTable.load(table).margins is None
    assert "one occasion is not enough" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"the last occasion ended at 20\d\d-.* begins at 20\d\d-.*--apart 20 minutes"):
        main(command)
    device.slower = 1.03  # by less than says that the machine is another one
    assert main([*command, "--apart", "0"]) == 0
    made = LatencyTable.load(table)
    assert (made.rows, made.header["device"]) == (rows, "D")
    assert made.margins is not None
    assert made.margins.networks == "searched"
    assert "38 networks of mbv3-w0.35 found by searches" in made.margins.rests_on
    assert "on the worst of 2 occasions" in made.margins.rests_on

    file = json.loads(table.with_suffix(".margin.json").read_text())
    for half, ratios in (("fast", made.margins.fast), ("slow", made.margins.slow)):
        winners = file[half]
        assert len(winners) == 19
        assert all((w["limit_ms"] <= file["split_ms"]) == (half == "fast") for w in winners)
        assert all(w["predicted_ms"] <= w["limit_ms"] for w in winners)
        planted = [1.03 * (1 + 0.2 * device.share(chain_of(w))) for w in winners]
        assert ratios == pytest.approx(planted, abs=2e-4)
        # limits are spread evenly over the logarithm of the half
        position = np.log([w["limit_ms"] for w in winners])
        assert np.ptp(position) > 0.7 * np.log(file["split_ms"] / min(w["limit_ms"] for w in file["fast"]))
    assert len({json.dumps(w["subnet"]) for w in file["fast"] + file["slow"]}) > 25
    q = max(made.margins.slow)
    assert made.header["margin_95"].endswith(f"; {q:.4f}, the 19th of 19 above")

    assert main([*command, "--check", "20"]) == 0
    said = capsys.readouterr().out
    check = json.loads(table.with_suffix(".margin.json").read_text())["checks"][0]
    took = [1.03 * (1 + 0.2 * device.share(chain_of(w))) * w["predicted_ms"] for w in check["winners"]]
    assert check["kept"] == sum(t <= w["limit_ms"] for t, w in zip(took, check["winners"], strict=True))
    assert check["kept"] >= 18
    assert check["within_sum"] == 0
    measured_before = {json.dumps(w["subnet"]) for w in file["fast"] + file["slow"]}
    assert not measured_before & {json.dumps(w["subnet"]) for w in check["winners"]}
    assert min(check["costs_top1"]) >= 0
    assert f"{check['kept']} of 20 other networks keep limits that they were searched for with 95 %" in said
    header = LatencyTable.load(table).header
    assert header["margin_checked"].startswith(f"{check['kept']} of 20 other networks, found with a confidence of 95 %")

    assert (
        search(["--table", str(table), "--latency", "0.05", "--confidence", "95", "--out", str(tmp_path / "out")]) == 0
    )
    said = " ".join(capsys.readouterr().out.split())
    assert f"when that was checked, {check['kept']} of 20 other networks" in said
    (found,) = json.loads((tmp_path / "out" / "result.json").read_text())["results"]
    assert found["latency_ms"] * q <= 0.05


def test_an_occasion_that_does_not_count_leaves_no_trace(device: Device, table: Path, capsys) -> None:
    command = ["--table", str(table), "--visits", "1", "--apart", "0", "--winners", "19"]
    device.slower = 1.06
    assert main(command) == 1
    assert "% against the table: not counted" in capsys.readouterr().out
    device.slower = 1.0
    device.fails = lambda chain: len(chain) > 1 and device.share(chain) < 0.1
    assert main(command) == 1
    assert "networks could not be measured" in capsys.readouterr().out
    assert json.loads(table.with_suffix(".margin.json").read_text())["occasions"] == []
    device.fails = lambda _: False
    with pytest.raises(InputError, match=r"with --resume, remove it to measure this occasion anew, or start all"):
        main(command)
    assert main([*command, "--resume"]) == 0
    assert len(json.loads(table.with_suffix(".margin.json").read_text())["occasions"]) == 1


def test_a_phone_is_measured_where_it_is_and_a_margin_is_of_the_rows_it_was_measured_with(
    device: Device, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A phone is opened as `profilers.verify` does; the table's file is edited while the second occasion goes on."""
    reached = []

    @contextmanager
    def phone(of: LatencyTable, access: AccessOptions, *_: object) -> Iterator[Target]:
        reached.append((of.header["agent"], access.serial))
        yield device.target()

    monkeypatch.setattr(from_header, "_phone", phone)
    of = LatencyTable.load(table)
    LatencyTable({**of.header, "agent": "android"}, of.rows).save(table)
    rest = ["--visits", "1", "--winners", "19", "--apart", "0"]
    assert main(["--table", str(table), "--serial", "A", *rest]) == 0

    def edit(_: Sequence[Block]) -> bool:
        first, *others = of.rows
        LatencyTable({**of.header, "agent": "android"}, [replace(first, latency_ms=9.0), *others]).save(table)
        return False

    device.fails = edit
    assert main(["--table", str(table), "--serial", "B", *rest]) == 0  # the same phone at another address
    assert reached == [("android", "A"), ("android", "B")]
    made = LatencyTable.load(table)
    assert made.margins is not None
    assert (made.margins.networks, made.margins.space) == ("searched", SPACE.name)
    assert made.margins.sums == of.sums != made.sums
    with pytest.raises(InputError, match=r"--host is for the table of a board: .*t.csv is of none"):
        main(["--table", str(table), "--host", "X", "--overwrite", *rest])


def test_a_board_that_is_not_there_is_known_before_anything_is_searched(table: Path) -> None:
    of = LatencyTable.load(table)
    LatencyTable({**of.header, "agent": "linux"}, of.rows).save(table)
    with pytest.raises(InputError, match=r"t.csv was measured on a board: name it by --host USER@ADDRESS"):
        main(["--table", str(table)])
    assert not table.with_suffix(".margin.json").exists()
    LatencyTable({**of.header, "emulated": "yes"}, of.rows).save(table)
    with pytest.raises(
        InputError, match=r"t.csv was measured on an emulated device: what is measured there means noth"
    ):
        main(["--table", str(table)])


@pytest.mark.usefixtures("device")
def test_what_does_not_belong_together_is_one_line(table: Path) -> None:
    command = ["--table", str(table), "--visits", "1", "--apart", "0", "--winners", "19"]
    with pytest.raises(InputError, match=r"t.margin.json is not there: nothing was measured that could be checked"):
        main([*command, "--check", "5"])
    assert main(command) == 0
    with pytest.raises(InputError, match="measured on one occasion: measure on another one first"):
        main([*command, "--check", "5"])
    with pytest.raises(InputError, match=r"begun with winners = 19, but this one has 39: .* with --overwrite"):
        main(["--table", str(table)])
    other = LatencyTable.load(table)
    LatencyTable({**other.header, "sum_correction": "scale=1.1"}, other.rows).save(table)
    with pytest.raises(InputError, match="begun with table = "):
        main(command)
    other.save(table)
    file = table.with_suffix(".margin.json")
    whole = json.loads(file.read_text())
    first = whole["slow"][0]["predicted_ms"]
    for change, message in (
        ({"occasions": [{**whole["occasions"][0], "measured_ms": [1.0]}]}, "an occasion is not of these networks"),
        ({"fast": [{}]}, "limit_ms is missing"),
        ({"split_ms": "2"}, "split_ms is '2'"),
        ({"version": 9}, "not a file of profilers.margin"),
        ({"slow": 3}, "TypeError"),
        (
            {"slow": [{**whole["slow"][0], "predicted_ms": 0.9 * first}, *whole["slow"][1:]]},
            r"slow\[0\].predicted_ms is",
        ),
        (
            {"slow": [{**whole["slow"][0], "limit_ms": 0.9 * first}, *whole["slow"][1:]]},
            r"slow\[0\] does not lie within",
        ),
        ({"split_ms": 2 * whole["split_ms"]}, "or the limit not in that half: edited"),
        ({"occasions": [{**whole["occasions"][0], "when": "9999-12-31T23:59:59+00:00"}]}, "in the future, 9999-12-31"),
        ({"checks": [NO_CHECK]}, "a check is not of its networks"),
    ):
        file.write_text(json.dumps({**whole, **change}))
        with pytest.raises(InputError, match=f"t.margin.json: .*{message}.*--overwrite"):
            main(command)
    file.write_text("{")
    with pytest.raises(InputError, match=r"t.margin.json: not JSON: .*: start again with --overwrite"):
        main(command)
    with pytest.raises(UsageError, match=r"--apart is .*, a year at most"):
        main([*command, "--apart", "1e300"])
    with pytest.raises(InputError, match="is imported: networks are measured where a table was"):
        main(["--table", "note10"])
