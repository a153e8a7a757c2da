"""A verification that was stopped, disturbed, or begun otherwise."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ofa.blocks import Block, blocks_of
from ofa.errors import InputError
from ofa.runs.lock import Lock
from tests.profilers.verifying.searched import SPACE, Run, found, scattered, whole
from tests.profilers.whole_networks.planted import PlantedDevice


class Stopped(Exception):
    """The process is killed."""


class Dying(PlantedDevice):
    """Is killed at a visit."""

    def __init__(self, at: int, **how: Any) -> None:
        super().__init__(**how)
        self.at = at

    def _visit(self, visit: int, name: str, chain: Sequence[Block]) -> Any:
        if self.visits == self.at:
            raise Stopped
        return super()._visit(visit, name, chain)


@pytest.mark.parametrize("share", [0.2, 0.7, 0.95])
def test_a_run_that_is_resumed_measures_only_what_it_lacks(run: Run, tmp_path: Path, share: float) -> None:
    how = whole(scattered)
    uninterrupted = PlantedDevice(how)
    _, expected = run(uninterrupted)
    assert len(expected["verification"]["rounds"]) == 2
    for old in tmp_path.iterdir():
        old.unlink()
    dying = Dying(round(share * uninterrupted.visits), latency_ms=how)
    with pytest.raises(Stopped):
        run(dying)
    assert not (tmp_path / "verified.json").exists()
    rest = PlantedDevice(how)
    with pytest.raises(InputError, match=r"verified\.[12]\.journal\.jsonl is the journal of an interrupted run"):
        run(rest)
    _, content = run(rest, "--resume")
    assert dying.visits + rest.visits == uninterrupted.visits
    for key in ("results", "not_kept"):
        assert content[key] == expected[key]
    # of an older run nothing is left where there is a new one
    run(PlantedDevice(whole(lambda _: 1.0)))
    assert len(list(tmp_path.glob("verified.*.journal.jsonl"))) == 1


def test_what_was_measured_on_a_busy_machine_is_measured_again(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    how = whole(lambda _: 1.0)
    _, expected = run(PlantedDevice(how), "--again", "0")
    # a round of 12 networks and 6 blocks, 6 visits each, is made three times at most
    busy = PlantedDevice(how, busy=3 * 6 * 18)
    code, content = run(busy, "--again", "1")
    assert (code, content["verification"]["rounds"][0]["doubtful"]) == (1, 12)
    assert "12 networks measured, 12 of them while the machine was busy or drifted" in capsys.readouterr().out
    for key in ("subnet", "latency_ms", "doubtful"):
        assert [r[key] for r in content["results"]] == [r[key] for r in expected["results"]]
    # without another round it is said
    _, content = run(PlantedDevice(how, busy=10**6), "--again", "0")
    assert {n["doubtful"] for n in content["verification"]["networks"]} == {True}
    assert "? most visits of 12 networks were beside drift, or the machine was busy" in capsys.readouterr().out


def test_another_run_is_not_gone_on_with(run: Run) -> None:
    run(PlantedDevice(whole(lambda _: 1.0)))
    with pytest.raises(InputError, match="was begun with near = 3, but this one has 2"):
        run(PlantedDevice(whole(lambda _: 1.0)), "--near", "2", "--resume")


def test_what_failed_in_a_finished_round_is_not_tried_again(run: Run, made: Path, tmp_path: Path) -> None:
    lost = tuple(blocks_of(SPACE, SPACE.subnet_from_dict(found(made)[1]["subnet"])))
    visits = []

    def fails(chain: Sequence[Block]) -> bool:
        """The second visit of one network."""
        visits.append(tuple(chain))
        return tuple(chain) == lost and visits.count(lost) > 1

    _, expected = run(PlantedDevice(whole(lambda _: 1.2), fails=fails))
    assert expected["results"][1]["found"] is None
    assert expected["verification"]["rounds"][0]["failed"] == 1
    # the last round is gone: the first is read as it was
    journals = sorted(tmp_path.glob("verified.*.journal.jsonl"))
    journals[-1].write_bytes(journals[-1].read_bytes().split(b"\n")[0] + b"\n")
    _, content = run(PlantedDevice(whole(lambda _: 1.2)), "--resume")
    assert content["results"] == expected["results"]


def test_another_run_at_the_same_file_is_named(run: Run, tmp_path: Path) -> None:
    with Lock(tmp_path / "verified.json"), pytest.raises(InputError, match="is being written by"):
        run(PlantedDevice(whole(lambda _: 1.0)))
