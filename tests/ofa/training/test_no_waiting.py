"""A step of training makes the host wait for a GPU only every tenth time, when it looks at the losses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ofa.training.loop import LOOK_EVERY

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_a_step_waits_for_nothing_and_planted_faults_are_seen() -> None:
    """In a process of its own, because it changes torch (tests/ofa/training/fake_gpu.py)."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.ofa.training.watched_training"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    for way in ("fp32, on the device", "fp16, in memory"):
        steps = found.pop(way)
        looked = steps.pop(LOOK_EVERY - 1)
        assert looked == ["copied to the host"]
        assert steps == [[]] * LOOK_EVERY
    assert found == {
        "item": [["_local_scalar_dense"]],
        "bool": [["_local_scalar_dense"]],
        "tolist": [["copied to the host"]],
        "cpu": [["copied to the host"]],
        "new_tensor": [["made of Python's numbers"]],
        "tensor": [["made of Python's numbers"]],
        "mask": [["index"]],
        "nonzero": [["nonzero"]],
        "unpinned": [["4194304 bytes copied from memory that is not pinned"]],
    }
