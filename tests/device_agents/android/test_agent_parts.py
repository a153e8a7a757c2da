"""Networks in parts by the phone agent: told as the CPU agent tells them, and computed as the whole network is."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from device_agents.android import bundle
from ofa.graph import network_graph
from ofa.graph.tflite import write_tflite
from profilers.measuring.conversation import local_agent
from profilers.measuring.events import Result
from tests.helpers.chains import CHAIN, SameByShape

Talk = Callable[..., list[dict]]
TalkRaw = Callable[[Path, bytes], tuple[int, list[dict], str]]
WriteFake = Callable[[Path, str, str], None]
HERE = Path(__file__).resolve().parent
CPU_AGENT = HERE.parents[2] / "device_agents" / "cpu" / "agent.py"
FEW = {
    "warmup_runs": 2, "warmup_seconds": 0, "min_runs": 5, "max_runs": 9, "max_seconds": 5, "target_error": 0,
    "min_sample_us": 50,
}  # fmt: skip


def outcomes(events: list[dict]) -> list[dict]:
    return [event for event in events if event["type"] in ("result", "error")]


def in_parts(*files: str, name: str = "n") -> dict:
    return {"id": name, "parts": [f"{file}.tflite" for file in files]}


def whole(name: str) -> dict:
    return {"id": name, "path": f"{name}.tflite"}


# ---- with the real runtime


@pytest.fixture
def network(real: Path) -> Path:
    """The agent's folder with a network, whole (w), in two parts (v0, v1) and block by block (u0, u1, u2)."""
    for name, chain in {
        "w": CHAIN, "v0": CHAIN[:1], "v1": CHAIN[1:], **{f"u{i}": (block,) for i, block in enumerate(CHAIN)}
    }.items():  # fmt: skip
        (real / f"{name}.tflite").write_bytes(write_tflite(network_graph(chain, weights=SameByShape())))
    return real


@pytest.mark.parametrize("changes", [{}, {"threads": 2}, {"delegate": "none"}])
def test_parts_in_turn_compute_what_the_network_computes(network: Path, talk: Talk, changes: dict) -> None:
    cuts = [in_parts("v0", "v1", name="v"), in_parts("u0", "u1", "u2", name="u"), in_parts("w", name="one")]
    models = [whole("w"), *cuts]
    made = outcomes(talk(network, models=models, visits=["w", "v", "u", "one"], outputs=10_000, **changes))
    expected, *others = (np.array(result["outputs"]) for result in made)
    assert expected.size == 7 * 7 * 16 and np.abs(expected).max() > 0.1
    for other in others:
        np.testing.assert_allclose(other, expected, rtol=1e-4, atol=1e-4)


def test_the_phone_agent_tells_of_parts_as_the_cpu_agent_does(network: Path) -> None:
    manifest = {
        "protocol": 1, "runtime": "tflite", "threads": 1, "cpus": [max(os.sched_getaffinity(0))], "seed": 0,
        "rules": FEW, "parts_rules": {**FEW, "max_runs": 7}, "models": [in_parts("u0", "u1", "u2"), whole("w")],
        "visits": ["n", "w", "n"],
    }  # fmt: skip
    for command in (["env", "-C", str(network), "./agent"], [sys.executable, str(CPU_AGENT)]):
        # read as the host reads it, which adds parts up to passes
        results = [event for event in local_agent(command, network, manifest, 60) if isinstance(event, Result)]
        assert [len(result.samples_ns) for result in results] == [7, 9, 7]
        assert results[1].parts_ns is None
        for result in (results[0], results[2]):
            assert result.parts_ns is not None and result.parts_cpu_ns is not None and result.cpu_ns is not None
            assert [*map(len, result.parts_ns)] == [*map(len, result.parts_cpu_ns)] == [7, 7, 7]
            assert result.calls_per_sample == 1
            assert "calls_per_sample" not in result.watched and "parts" not in result.watched


def test_a_part_that_breaks_costs_its_network_alone(network: Path, talk: Talk) -> None:
    (network / "bad.tflite").write_bytes(b"not a model")
    (network / "cut.tflite").write_bytes((network / "u1.tflite").read_bytes()[:64])
    models = [
        in_parts("u0", "bad", name="a"), in_parts("u0", "cut", name="b"), in_parts("u0", "gone", name="c"),
        in_parts("u0", "u1", "u0", name="d"), in_parts("u0", "u1", name="e"),
    ]  # fmt: skip
    *errors, good = outcomes(talk(network, models=models, visits=list("abcde")))
    assert (good["type"], good["id"]) == ("result", "e")
    assert [(error["type"], error["reason"]) for error in errors] == [("error", None)] * 4
    messages = [error["message"] for error in errors]
    assert messages[0].startswith("part 2 of 2 (bad.tflite): ") and "is no .tflite file" in messages[0]
    assert messages[1].startswith("part 2 of 2 (cut.tflite): LiteRT, ")
    assert messages[2].startswith("part 2 of 2 (gone.tflite): ") and "No such file" in messages[2]
    takes, gives = 4 * 14 * 14 * 8, 4 * 7 * 7 * 16
    assert messages[3] == (
        f"part 3 of 3 (u0.tflite) takes {takes} bytes of element type 1, but the part before gives {gives} bytes of "
        "type 1"
    )


# ---- with the fake one, under the sanitizers


def test_each_part_is_timed_in_every_pass_and_what_is_copied_is_not(
    fake: Path, talk: Talk, write_fake: WriteFake
) -> None:
    write_fake(fake, "b", "spin 2000")
    own = {**FEW, "min_runs": 1100, "max_runs": 1100, "min_sample_us": 0}  # beyond the room there is at first
    slow = {**FEW, "min_runs": 6, "max_runs": 6}
    write_fake(fake, "c", "")
    models = [in_parts("a", "b", "a"), in_parts(*["c"] * 3, name="many"), in_parts("c", name="one"), whole("a")]
    n, a = outcomes(talk(fake, models=models, visits=["n", "a"], parts_rules=slow))
    assert [*map(len, n["parts_ns"])] == [*map(len, n["parts_cpu_ns"])] == [6, 6, 6]
    assert n["samples_ns"] == [sum(times) for times in zip(*n["parts_ns"], strict=True)]
    assert n["cpu_ns"] == [sum(times) for times in zip(*n["parts_cpu_ns"], strict=True)]
    assert [min(times) >= spin for times, spin in zip(n["parts_ns"], (1e5, 2e6, 1e5), strict=True)] == [True] * 3
    assert n["calls_per_sample"] == 1 and sum(n["samples_ns"]) <= n["timed_ns"]
    assert "parts_ns" not in a and len(a["samples_ns"]) == FEW["max_runs"]
    many, again = outcomes(talk(fake, models=models, visits=["many", "one"], parts_rules=own | {"max_seconds": 1e-9}))
    assert [*map(len, many["parts_ns"])] == [1100] * 3, "the fewest runs, whatever time they take"
    assert many["samples_ns"] == [sum(times) for times in zip(*many["parts_ns"], strict=True)]
    assert [*map(len, again["parts_ns"])] == [1100] and again["samples_ns"] == again["parts_ns"][0]


def test_of_several_threads_parts_have_no_cpu_times_and_models_rules_are_those_of_parts(fake: Path, talk: Talk) -> None:
    (n,) = outcomes(talk(fake, models=[in_parts("a", "b")], visits=["n"], threads=2))
    assert (n["cpu_ns"], n["parts_cpu_ns"]) == (None, None)
    assert len(n["process_cpu_ns"]) == len(n["samples_ns"]) == len(n["parts_ns"][1]) == FEW["max_runs"]


@pytest.mark.parametrize("backend", ["litert", "tflite"])
def test_an_output_is_the_next_input(
    fake: Path, talk_raw: TalkRaw, manifest_with: Callable[..., dict], write_fake: WriteFake, backend: str
) -> None:
    if backend == "tflite":
        build_fake_tflite(fake)
    for name, words in (("a", "add 2"), ("b", "add 100"), ("bad", "refuse fail_run 3")):
        write_fake(fake, name, words)
    models = [whole("a"), in_parts("a", "b", "b"), in_parts("a", "bad", "b", name="m")]
    asked = manifest_with(models=models, visits=["a", "n", "m", "n"], outputs=64, backend=backend, delegate="none")
    code, events, stderr = talk_raw(fake, json.dumps(asked).encode())
    assert code == 0, stderr
    a, n, m, again = outcomes(events)
    assert n["outputs"] == again["outputs"] == pytest.approx([value + 200 for value in a["outputs"]], abs=1e-4)
    assert re.fullmatch(r"part 2 of 3 fails when it is run: status [13]", m["message"])


def test_parts_run_in_their_order_and_each_pass_hands_on_what_it_has_computed(
    fake: Path, talk_raw: TalkRaw, manifest_with: Callable[..., dict], write_fake: WriteFake
) -> None:
    # the first puts out something else every time, so that what a pass before left behind is told from its own
    for name, words in (("a", "called 1 grow 1"), ("b", "called 2 add 100"), ("c", "called 3 add 1000")):
        write_fake(fake, name, words)
    asked = manifest_with(models=[in_parts("a", "b", "c")], visits=["n", "n"], rules={**FEW, "min_sample_us": 0})
    code, _, stderr = talk_raw(fake, json.dumps(asked).encode())
    assert code == 0, stderr
    lines = [line.split() for line in stderr.splitlines() if line.startswith(("input ", "run "))]
    passes = FEW["warmup_runs"] + FEW["max_runs"]
    assert len(lines) == 2 * (3 + 5 * passes)
    for visit in (lines[: len(lines) // 2], lines[len(lines) // 2 :]):
        given = np.array(visit[0][1:], dtype=float)
        for number in range(passes):
            first, into_second, second, into_third, third = visit[3 + 5 * number :][:5]
            assert (first, second, third) == (["run", "1"], ["run", "2"], ["run", "3"])
            handed = [np.array(line[1:], dtype=float) for line in (into_second, into_third)]
            np.testing.assert_allclose(handed, [given + number + 1, given + number + 101], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("run", [1, FEW["warmup_runs"] + 1, FEW["warmup_runs"] + FEW["max_runs"]])
def test_a_part_that_fails_once_fails_its_network_and_is_named(
    fake: Path, talk: Talk, write_fake: WriteFake, run: int
) -> None:
    """In the warm-up, in the first pass, in the last."""
    write_fake(fake, "c", f"spin 1 fail_at {run}")
    models = [in_parts("a", "b", "c", "b"), in_parts("a", "b", name="m")]
    n, m = outcomes(talk(fake, models=models, visits=["n", "m"], rules={**FEW, "min_sample_us": 0}))
    assert (n["type"], n["message"]) == ("error", "part 3 of 4 fails when it is run: status 9")
    assert (m["type"], m["id"]) == ("result", "m")


def build_fake_tflite(folder: Path) -> None:
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-fsanitize=address,undefined", "-shared", "-fPIC"]
    gcc = shutil.which("gcc")
    assert gcc is not None, "which built the agent"
    library = folder / "libtensorflowlite_c.so"
    subprocess.run([gcc, *flags, HERE / "fake_tflite.c", "-o", library], check=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("gives 16", "takes 8"), "takes 32 bytes of element type 1, but the part before gives 64 bytes of type 1"),
        (("type 9", "spin 1"), "takes 256 bytes of element type 1, but the part before gives 256 bytes of type 9"),
        (("spin 1", "fail_compile 504"), "part 2 of 2 (b.tflite): LiteRT, compiling: status 504"),
        (("fail_load 501", "spin 1"), "part 1 of 2 (a.tflite): LiteRT, loading: status 501"),
        (("spin 1", "fail_run 3"), "part 2 of 2 fails when it is run: status 3"),
    ],
)
def test_parts_that_fail_are_unloaded_and_the_next_is_timed(
    fake: Path, talk_raw: TalkRaw, manifest_with: Callable[..., dict], write_fake: WriteFake,
    words: tuple[str, str], message: str,
) -> None:  # fmt: skip
    for name, each in zip("ab", words, strict=True):
        write_fake(fake, name, each)
    write_fake(fake, "c", "spin 1")
    asked = manifest_with(models=[in_parts("a", "b"), whole("c")], visits=["n", "c"] * 20)
    code, events, stderr = talk_raw(fake, json.dumps(asked).encode())
    assert code == 0, stderr
    made = outcomes(events)
    assert [(event["type"], event["id"]) for event in made] == [("error", "n"), ("result", "c")] * 20
    assert message in made[0]["message"]
    lines = stderr.splitlines()
    assert lines.count("unload") == sum(line.startswith("load ") for line in lines), "none stays"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delegate": "gpu"}, "the parts of a network are not run by the delegate gpu"),
        ({"sustained": {"window_seconds": 0.01}}, "a loop is of whole models, not of parts"),
    ],
)
def test_where_parts_are_not_run_it_says_so_and_models_are_timed(
    fake: Path, talk: Talk, changes: dict, message: str
) -> None:
    n, a, _ = outcomes(talk(fake, models=[in_parts("a", "b"), whole("a")], visits=["n", "a", "n"], **changes))
    assert (n["type"], n["reason"], n["message"]) == ("error", "no_parts", message)
    assert (a["type"], a["id"]) == ("result", "a")


def test_a_network_in_parts_is_loaded_and_warm_only_within_the_budgets(fake: Path, talk: Talk) -> None:
    (n,) = outcomes(talk(fake, models=[in_parts("a", "b")], visits=["n"], time_budget_seconds=0))
    assert (n["reason"], n["message"]) == ("time_budget", "the time budget is spent")


def test_float16_is_seen_in_what_the_last_part_puts_out(fake: Path, talk: Talk, write_fake: WriteFake) -> None:
    write_fake(fake, "a", "put 3")
    write_fake(fake, "b", "put 1")
    models = [in_parts("b", "a"), in_parts("a", "b", name="m")]
    good, bad = outcomes(talk(fake, models=models, visits=["n", "m"], dtype="fp16"))
    assert (good["type"], bad["reason"]) == ("result", "not_fp16")


def test_every_source_is_built_by_cmake_too() -> None:
    listed = set(re.findall(r"src/(\w+\.c)", (bundle.SOURCES.parent / "CMakeLists.txt").read_text()))
    assert listed == {path.name for path in bundle.SOURCES.glob("*.c")}
