"""The phone agent with the real runtime: it keeps to the protocol as the CPU agent does."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from device_agents.android.bundle import Bundle
from ofa.blocks import all_blocks
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.measuring.conversation import local_agent
from profilers.measuring.drive import Driver
from profilers.measuring.ledger import Ledger
from profilers.measuring.models import write_models
from profilers.measuring.plan import make_plan
from profilers.measuring.run import carry_out

Talk = Callable[..., list[dict]]
FEW = {
    "warmup_runs": 2, "warmup_seconds": 0, "min_runs": 5, "max_runs": 9, "max_seconds": 5, "target_error": 0,
    "min_sample_us": 50,
}  # fmt: skip


def results(events: list[dict]) -> list[dict]:
    return [event for event in events if event["type"] == "result"]


def test_it_makes_every_visit(real: Path, talk: Talk) -> None:
    events = talk(real)
    assert [e["type"] for e in events] == ["hello", *["visit", "result"] * 3, "done"]
    assert [(r["visit"], r["id"]) for r in results(events)] == [(0, "a"), (1, "b"), (2, "a")]
    for r in results(events):
        # target_error 0 is never reached: the rule on runs ends it
        assert len(r["samples_ns"]) == len(r["cpu_ns"]) == FEW["max_runs"]
        assert min(r["samples_ns"]) > 0
        assert sum(r["samples_ns"]) <= r["timed_ns"]
        assert r["cpu"] == max(os.sched_getaffinity(0))
        assert r["peak_memory_kib"] > 1000


def test_the_hello_tells_of_runtime_and_device(real: Path, talk: Talk) -> None:
    hello = talk(real)[0]
    assert (hello["protocol"], hello["agent"]) == (1, "android")
    assert (hello["runtime"], hello["backend"], hello["delegate"]) == ("ai-edge-litert 2.3.0", "litert", "xnnpack")
    assert hello["xnnpack"] is True
    device = hello["device"]
    assert device["cpus"] == [max(os.sched_getaffinity(0))]
    assert device["cpu_count"] == len(device["cores"]) == os.cpu_count()
    assert device["architecture"] == os.uname().machine
    assert device["temperature_readable"] is (device["temperature_c"] is not None)
    assert device["android"] is None, "this is no phone"
    assert "cpu_model" in device


def test_the_delegate_is_what_the_manifest_says(real: Path, talk: Talk) -> None:
    hello, *_ = events = talk(real, delegate="none")
    assert (hello["delegate"], hello["xnnpack"]) == ("none", False)
    assert len(results(events)) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delegate": "nnapi"}, "LiteRT 2 has no NNAPI delegate: use backend tflite"),
        ({"backend": "tflite"}, "./libtensorflowlite_c.so: cannot open shared object file"),
        ({"backend": "tflite", "library": "./libLiteRt.so"}, "./libLiteRt.so has no TfLiteModelCreateFromFile"),
    ],
)
def test_a_runtime_that_is_not_there_is_one_error(real: Path, talk: Talk, changes: dict, message: str) -> None:
    (event,) = talk(real, code=1, **changes)
    assert (event["type"], event["id"]) == ("error", None)
    assert message in event["message"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "a.tflite: No such file or directory"),
        (lambda path: path.write_bytes(b""), "a.tflite is no .tflite file"),
        (lambda path: path.write_bytes(b"not a model at all"), "a.tflite is no .tflite file"),
        (lambda path: path.write_bytes(path.read_bytes()[:64]), "LiteRT, "),
        (lambda path: (path.unlink(), path.mkdir()), "a.tflite: Is a directory"),
    ],
)
def test_a_broken_model_is_an_error_and_the_next_is_timed(
    real: Path, talk: Talk, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(real / "a.tflite")
    events = [e for e in talk(real) if e["type"] in ("result", "error")]
    assert [(e["type"], e["id"]) for e in events] == [("error", "a"), ("result", "b"), ("error", "a")]
    assert message in events[0]["message"]


def test_an_agent_whose_host_is_gone_ends(real: Path, manifest_with: Callable[..., dict]) -> None:
    # the host reads one line and is gone; the one visit would go on for minutes
    endless = {**FEW, "max_runs": 10**9, "max_seconds": 600}
    manifest = manifest_with(rules=endless, visits=["a"], heartbeat_seconds=0.1)
    (real / "manifest.json").write_text(json.dumps(manifest))
    agent = subprocess.Popen(["./agent", "manifest.json"], cwd=real, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert agent.stdout is not None
    agent.stdout.readline()
    agent.stdout.close()
    assert agent.wait() == 1


def test_the_host_measures_with_it_as_with_any_agent(native: Bundle, tmp_path: Path) -> None:
    blocks = all_blocks(get_space("mbv3-w1.0"), [160])[:4]
    plan = make_plan([(block,) for block in blocks], rounds=2, reference_every=3, seed=0)
    files = write_models(plan.models, "tflite", tmp_path, batch=1)
    manifest = {"runtime": "tflite", "threads": 1, "cpus": [0], "seed": 0, "rules": FEW}
    # the bundle's start command, where the bundle lies
    command = ["env", "-C", str(native.folder), *native.start_command]
    journal = Journal.create(tmp_path / "journal.jsonl", {})
    start = lambda asked: local_agent(command, tmp_path, asked, timeout_s=60)  # noqa: E731
    outcome = carry_out(Driver(Ledger(plan, journal), files, manifest, start, progress=lambda *_: None))
    journal.close()
    assert outcome.failed == {}
    assert {name: len(made) >= 1 for name, made in outcome.results.items()} == dict.fromkeys(plan.models, True)
    assert outcome.greeted.runtime == "ai-edge-litert 2.3.0"
