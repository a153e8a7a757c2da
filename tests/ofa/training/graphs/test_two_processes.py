"""Several processes with graphs: the gradients that they average are those without graphs, to the bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ofa.training.graphs.two_processes import CASES

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.slow
def test_two_processes_learn_with_graphs_what_they_learn_without(tmp_path: Path) -> None:
    """Also where only one of them has a graph of a block: both have gradients of the same weights."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        [*run, "tests.ofa.training.graphs.two_processes", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    found = json.loads(done.stdout)
    assert list(found) == [f"{stage} {precision}" for stage, precision in CASES]
    for each in found.values():
        assert [one["differing"] for one in each] == [[], []]
        assert [one["warnings"] > 0 for one in each] == [False, True]
        assert each[0]["replays"] > each[1]["replays"] > 0
        assert each[0]["weights"] == each[1]["weights"]
        assert not any(one["as alone"] for one in each)
