"""`--quickest` of a phone or board: ten networks on a planted device, whose blocks are then known."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.blocks import all_blocks, blocks_of
from ofa.blocks.costs import block_macs
from ofa.errors import InputError, UsageError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.network_times import read_networks
from profilers import android, linux
from profilers.estimating import quickest
from profilers.estimating.measured import ROUNDS
from profilers.estimating.quickest import NETWORKS, asked, check_quickest, profile_quickest
from profilers.measuring.events import Begins, Done, Error, Event, Hello, Result
from profilers.measuring.target import Target
from profilers.profiling.profile import keep_estimate, open_journal
from profilers.profiling.profile_options import ProfileOptions

SPACE = get_space("mbv3-w0.35")
COMMAND = "python -m profilers.android --serial R58M123ABC --quickest --out phone.csv"


def block_ms(block: Any) -> float:
    return 0.02 + block_macs(block) / 1e7


class Planted:
    """Its networks take the sum of their blocks. fails: ids of models that it cannot run; ends: after so many visits"""

    def __init__(self, fails: tuple[str, ...] = (), ends: int = 10**9) -> None:
        self.fails, self.ends, self.visits = fails, ends, 0

    def target(self) -> Target:
        return Target("tflite", 1, {"phone": "p"}, self._agent, {"threads": "1", "cpus": "7"})

    def _agent(self, _: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
        yield Hello("android", "litert 1", {"soc": "planted", "product": "Planted phone"})
        for i, name in enumerate(manifest["visits"]):
            yield Begins(i, name)
            if self.visits == self.ends:
                raise KeyboardInterrupt
            if name in self.fails:
                yield Error(i, name, "no memory")
                continue
            self.visits += 1
            yield Result(i, name, [round(1e6 * self.ms[name])] * 6, None, 1)
        yield Done()

    ms: Mapping[str, float] = {}


def options(out: Path, **changes: Any) -> ProfileOptions:
    return replace(ProfileOptions(space=SPACE.name, resolutions=(64, 96), out=out), **changes)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Planted:
    """A device that knows what its networks take."""
    device = Planted()

    def suggestion(*given: Any) -> Any:
        space, networks = real(*given)
        chains = [blocks_of(space, subnet) for subnet in networks.values()]
        device.ms = {f"b{i:05d}": sum(map(block_ms, chain)) for i, chain in enumerate(chains)}
        return space, networks

    real = quickest.suggestion
    monkeypatch.setattr(quickest, "suggestion", suggestion)
    return device


def test_ten_networks_make_a_table_that_says_that_it_is_estimated_and_how_well(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "phone.csv"
    assert profile_quickest(options(out), planted.target(), COMMAND, "python -m x --serial SERIAL") == 0
    assert planted.visits >= NETWORKS * ROUNDS
    table = LatencyTable.load(out)
    assert (table.provenance, table.device, table.header["cpus"]) == ("estimated", "Planted phone", "7")
    assert table.coverage(SPACE).complete == (64, 96)
    genes = SPACE.sample(np.random.default_rng(3), 50, resolutions=[64, 96])
    for found, subnet in zip(table.latency_ms(SPACE, genes), SPACE.decode(genes), strict=True):
        assert found == pytest.approx(sum(map(block_ms, blocks_of(SPACE, subnet))), rel=0.03)
    said = " ".join(capsys.readouterr().out.split())
    assert "expected error: mean " in said and "of 10 networks, each predicted from others" in said
    assert "R58M123ABC" not in out.read_text() + (tmp_path / "phone.networks.csv").read_text()
    assert len(read_networks(tmp_path / "phone.networks.csv").networks) == NETWORKS


def test_a_stopped_run_is_gone_on_with_and_a_network_that_fails_is_left_out(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "phone.csv"
    planted.ends = 20
    with pytest.raises(SystemExit) as left:
        profile_quickest(options(out), planted.target(), COMMAND)
    assert left.value.code == 130 and not out.exists()
    assert f"continue with: {COMMAND} --resume" in capsys.readouterr().err
    journal = tmp_path / "phone.networks.journal.jsonl"
    before = journal.read_bytes()
    with pytest.raises(
        InputError, match=r"journal\.jsonl is the journal of an interrupted run: continue it with --res"
    ):
        profile_quickest(options(out), planted.target(), COMMAND)
    assert journal.read_bytes() == before
    made, planted.ends, planted.fails = planted.visits, 10**9, ("b00003",)
    assert profile_quickest(options(out, resume=True), planted.target(), COMMAND) == 1
    assert planted.visits < made + NETWORKS * ROUNDS
    assert "failed: network-04: no memory" in capsys.readouterr().out
    assert "of 9 networks" in str(LatencyTable.load(out).expected_error)
    # each under its own name, in whatever order they were visited
    _, networks = quickest.chosen(options(out))
    lines = [line for line in (tmp_path / "phone.networks.csv").read_text().splitlines() if line.startswith("network-")]
    told = {line.split(",")[0]: float(line.split(",")[-1]) for line in lines}
    took = {name: sum(map(block_ms, blocks_of(SPACE, subnet))) for name, subnet in networks.items()}
    del took["network-04"]
    assert told == pytest.approx(took, abs=2e-6)


def test_nothing_better_is_replaced_and_a_measured_table_replaces_an_estimate(planted: Planted, tmp_path: Path) -> None:
    out = tmp_path / "phone.csv"
    profile_quickest(options(out), planted.target(), COMMAND)
    with pytest.raises(InputError, match=r"phone\.networks\.csv exists: replace it with --overwrite"):
        check_quickest(options(out))
    check_quickest(options(out, overwrite=True))
    check_quickest(options(out, resume=True))
    # a whole profile takes its place unasked
    open_journal(options(out), {"space": SPACE.name}).close()
    rows = [TableRow(block, 1.0) for block in all_blocks(SPACE, [64])]
    facts = {"device": "D", "runtime": "r", "provenance": "measured", "space": SPACE.name, "source": "a test"}
    LatencyTable(facts, rows).save(out)
    for wanted in (options(out), options(out, resume=True)):
        with pytest.raises(InputError, match=r"phone\.csv is measured, which no estimate replaces unless"):
            check_quickest(wanted)
    (tmp_path / "phone.journal.jsonl").unlink()
    with pytest.raises(InputError, match=r"phone\.csv exists: continue it with --resume"):
        open_journal(options(out), {"space": SPACE.name})


def test_an_estimate_of_another_device_is_not_lost(planted: Planted, tmp_path: Path) -> None:
    out = tmp_path / "phone.csv"
    profile_quickest(options(out, name="A phone"), planted.target(), COMMAND)
    (tmp_path / "phone.networks.csv").unlink()
    before = out.read_bytes()
    with pytest.raises(InputError, match=r"phone\.csv is an estimate of A phone, this one is of B: name another --out"):
        check_quickest(options(out, name="B"))
    # what calls itself so is known when it was measured
    words = (
        r"this one is of .*: name another --out \(--networks \S*phone\.networks\.csv of profilers\.transfer has what"
    )
    with pytest.raises(InputError, match=words):
        profile_quickest(options(out), planted.target(), COMMAND)
    assert out.read_bytes() == before
    # a whole profile takes hours: it moves the estimate away
    assert keep_estimate(out, "A phone") is None
    assert keep_estimate(out, "B") == tmp_path / "phone.estimated.csv"
    assert ((tmp_path / "phone.estimated.csv").read_bytes(), out.exists()) == (before, False)
    assert keep_estimate(out, "B") is None
    # what was moved away before stays too
    out.write_bytes(before)
    assert keep_estimate(out, "B") == tmp_path / "phone.estimated.2.csv"
    assert (tmp_path / "phone.estimated.csv").read_bytes() == before


@pytest.mark.parametrize("more", [["--quick"], ["--rounds", "2"], ["--limit", "3"], ["--timing", "warm"], ["--energy"]])
def test_what_is_of_blocks_is_not_asked_for(more: list[str]) -> None:
    for command, given in ((android, []), (linux, ["--host", "pi"])):
        with pytest.raises(UsageError, match=rf"^{more[0]} is not allowed with --quickest: leave one out"):
            command.COMMAND.parse([*given, "--quickest", *more, "--out", "x.csv"])
        assert not command.COMMAND.parse([*given, "--quickest", "--out", "x.csv"]).in_place


def test_it_asks_for_what_the_profiler_was_asked_for(tmp_path: Path) -> None:
    given = options(tmp_path / "t.csv", num_classes=10, batch_size=4, seed=3, name="N", overwrite=True)
    config = asked(given)
    assert (config.num_classes, config.batch, config.seed, config.device) == (10, 4, 3, "N")
    assert (config.space, config.resolutions, config.overwrite, config.measures) == (
        (SPACE.name,),
        (64, 96),
        True,
        False,
    )
    with pytest.raises(InputError, match="unknown space 'mbv9'"):
        check_quickest(options(tmp_path / "t.csv", space="mbv9"))
