"""benchmarks/transfer/kept.py: a stopped run of the leaderboard goes on from what it had finished, and nothing else."""

import runpy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

KEPT = runpy.run_path(str(Path(__file__).resolve().parents[2] / "benchmarks" / "transfer" / "kept.py"))["Kept"]


@dataclass(frozen=True, eq=False)
class Target:
    name: str
    terms: np.ndarray
    directions: tuple[np.ndarray, ...] = ()
    fitted: np.ndarray | None = None


def test_what_was_finished_is_not_done_again_and_anything_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def draw(target: Target, number: int, file: Path | None) -> float:
        def compute() -> float:
            done.append((target.name, number))
            return 0.1 * number

        return KEPT(file).result(target, (number,), compute)

    file, target = tmp_path / "kept.jsonl", Target("a", np.arange(3000.0), (np.ones(3),))
    assert [draw(target, i, file) for i in range(300)] == [0.1 * i for i in range(300)]
    file.write_text(file.read_text()[:-9])  # stopped in the middle of the last line
    again = replace(target, terms=target.terms.copy())  # as a new run reads it
    done.clear()
    assert [draw(again, i, file) for i in range(300)] == [0.1 * i for i in range(300)]
    assert [draw(again, i, file) for i in range(300)] == [0.1 * i for i in range(300)]
    assert done == [("a", 299)]
    changed = target.terms.copy()
    changed[2999] += 1e-9
    others = [
        replace(target, terms=changed),
        replace(target, directions=(np.ones(2),)),
        replace(target, fitted=np.ones(1, bool)),
        replace(target, name="b"),
    ]
    done.clear()
    for other in others:
        draw(other, 5, file)
    assert len(done) == len(others)
    draw(target, 5, None)
    draw(target, 5, None)
    assert len(done) == len(others) + 2
    # an edited estimator makes other figures
    monkeypatch.setitem(KEPT.result.__globals__, "_code", lambda: "edited")
    draw(target, 5, file)
    assert len(done) == len(others) + 3
