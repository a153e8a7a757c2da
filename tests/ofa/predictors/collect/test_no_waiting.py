"""Collecting on a GPU, the host waits for nothing but once for all statistics and once for all scores."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
READS = {"item": "_local_scalar_dense", "tolist": "copied to the host"}


@pytest.mark.slow
def test_no_batch_waits_for_a_gpu_and_planted_faults_are_seen() -> None:
    """In a process of its own, because it changes torch (tests.ofa.training.fake_gpu.py)."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.ofa.predictors.collect.watched_collecting"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    as_it_is = found.pop("as it is")
    # told after each of three batches to calibrate with, whose last is cut when there are no more, and of three to
    # evaluate on. Between, it is asked whether the statistics are finite
    whether, scores = ["_local_scalar_dense"], ["copied to the host"]
    assert as_it_is == [[], [], [], whether, [], [], scores]
    for name, waited in found.items():
        fault, at = name.split(", ")
        batches = waited[1:4] if at == "calibrating" else waited[3:6]
        assert all(READS[fault] in each for each in batches), (name, waited)
