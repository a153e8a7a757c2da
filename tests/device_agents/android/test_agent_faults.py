"""The phone agent under the sanitizers, with a runtime that fails, crashes, hangs, babbles; and bad manifests."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from device_agents.android.bundle import LIBRARIES, SOURCES
from device_agents.cpu.timing import relative_error_of_median
from profilers.measuring.conversation import local_agent
from profilers.measuring.events import AgentFailed, Begins, Event, Hello, Result

Talk = Callable[..., list[dict]]
TalkRaw = Callable[[Path, bytes], tuple[int, list[dict], str]]
WriteFake = Callable[[Path, str, str], None]
FEW = {
    "warmup_runs": 2, "warmup_seconds": 0, "min_runs": 5, "max_runs": 9, "max_seconds": 5, "target_error": 0,
    "min_sample_us": 50,
}  # fmt: skip
# a test that runs the agent once an example: its folder is only written to
OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def said(events: list[dict]) -> list[tuple[str, str | None]]:
    return [(e["type"], e["id"]) for e in events if e["type"] in ("result", "error")]


# ---- manifests


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": 2}, "manifest is of protocol 2, this agent speaks 1"),
        ({"protocol": None}, "manifest names no protocol, this agent speaks 1"),
        ({"runtime": "openvino"}, "runtime is 'openvino', expected one of tflite"),
        ({"backend": "tensorrt"}, "backend is 'tensorrt', expected one of litert, tflite"),
        ({"delegate": "hexagon"}, "delegate is 'hexagon', expected one of xnnpack, gpu, nnapi, none"),
        ({"threads": 0}, "manifest: threads is missing or wrong, expected a whole number from 1 to 1024"),
        ({"threads": 1.5}, "manifest: threads is missing or wrong"),
        ({"threads": "1"}, "manifest: threads is missing or wrong"),
        ({"cpus": []}, "manifest: cpus is missing or wrong, expected 1 to 64 CPU numbers"),
        ({"cpus": [-1]}, "manifest: cpus is missing or wrong"),
        ({"cpus": [1e300]}, "manifest: cpus is missing or wrong"),
        ({"cpus": [9999]}, "Invalid argument"),
        ({"cpus": list(range(65))}, "manifest: cpus is missing or wrong"),
        ({"seed": -1}, "manifest: seed is missing or wrong"),
        ({"rules": None}, "manifest: rules.warmup_runs is missing or wrong"),
        ({"rules": {**FEW, "min_runs": 0}}, "manifest: rules.min_runs is missing or wrong"),
        (
            {"rules": {**FEW, "max_seconds": -1}},
            "rules.max_seconds is missing or wrong, expected a number of at least 0",
        ),
        ({"cool_down": {"max_temperature_c": 40}}, "manifest: cool_down.max_wait_seconds is missing or wrong"),
        ({"time_budget_seconds": "long"}, "manifest: time_budget_seconds is missing or wrong"),
        ({"heartbeat_seconds": 0}, "manifest: heartbeat_seconds is missing or wrong"),
        ({"models": {}}, "manifest: models is missing or wrong, expected a list"),
        ({"models": [7]}, "manifest: models[].id is missing or wrong, expected a string"),
        ({"models": [{"id": "a"}]}, "manifest: models[].path is missing or wrong"),
        ({"models": [{"id": "a", "path": "a.tflite"}] * 2}, "manifest: two models are called 'a'"),
        ({"models": [{"id": "a", "path": "../a.tflite"}]}, "model path '../a.tflite' leaves the manifest's folder"),
        ({"models": [{"id": "a", "parts": ["a.tflite", "../a.tflite"]}]}, "model path '../a.tflite' leaves the"),
        ({"models": [{"id": "a", "parts": []}]}, "model 'a' has no parts"),
        (
            {"models": [{"id": "a", "parts": "a.tflite"}]},
            "manifest: models[].parts is missing or wrong, expected a list",
        ),
        ({"models": [{"id": "a", "parts": ["a.tflite", 7]}]}, "models[].parts is missing or wrong, expected a list of"),
        ({"parts_rules": {**FEW, "max_runs": 0}}, "manifest: parts_rules.max_runs is missing or wrong"),
        ({"models": [{"id": "a", "path": "x/../../a"}]}, "leaves the manifest's folder"),
        ({"models": [{"id": "a", "path": "/etc/passwd"}]}, "leaves the manifest's folder"),
        ({"models": [{"id": "a", "path": "climbs"}]}, "leaves the manifest's folder"),
        ({"models": [{"id": "a", "path": "."}]}, "leaves the manifest's folder"),
        ({"visits": ["c"]}, "manifest: visits names 'c', which models does not list"),
        ({"visits": [1]}, "manifest: visits is missing or wrong, expected ids of models"),
        ({"library": "../lib.so"}, "../lib.so: cannot open shared object file"),
        ({"library": 5}, "manifest: library is missing or wrong, expected a string"),
    ],
)
def test_a_manifest_it_cannot_follow_is_one_error(fake: Path, talk: Talk, changes: dict, message: str) -> None:
    (fake / "climbs").symlink_to("/etc/passwd")
    (event,) = talk(fake, code=1, **changes)
    assert (event["type"], event["id"]) == ("error", None)
    assert message in event["message"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 column 1: ends too early"),
        (b'{"a": 1,\n "b": nul}', "line 2 column 7: not a value"),
        (b'{"a": 1} 2', "line 1 column 10: something after the end"),
        (b'{"a": "x', "a string without an end"),
        (b'{"a": "\\', "a string without an end"),
        (b'{"a": "\x01"}', "a control character in a string"),
        (b'{"a": "\\q"}', "a bad escape in a string"),
        (b'{"a": "\\ud800"}', "a bad escape in a string"),
        (b'{"a": "\\u0000"}', "a bad escape in a string"),
        (b'{"a": "\\u12', "a string without an end"),
        (b'{"a" 1}', "expected a colon"),
        (b"{1: 1}", "expected a name in quotes"),
        (b'{"a": [1 2]}', "expected , or ]"),
        (b'{"a": 1', "expected , or }"),
        (b'{"a": 01}', "not a value"),
        (b'{"a": 1.}', "not a value"),
        (b'{"a": NaN}', "not a value"),
        (b'{"a": -}', "not a value"),
        (b'{"a": 1e999}', "a number too large"),
        (b'{"a": \0}', "not a value"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "manifest names no protocol"),
    ],
)
def test_what_is_no_json_is_said_with_its_place(fake: Path, talk_raw: TalkRaw, content: bytes, message: str) -> None:
    code, (event,), _ = talk_raw(fake, content)
    assert (code, event["type"], event["id"]) == (1, "error", None)
    assert message in event["message"]


def test_without_a_manifest_it_says_so(fake: Path) -> None:
    done = subprocess.run(["./agent", "gone.json"], cwd=fake, capture_output=True)
    assert (done.returncode, json.loads(done.stdout)["message"]) == (1, "gone.json: No such file or directory")
    assert subprocess.run(["./agent"], cwd=fake, capture_output=True).returncode == 2


@OFTEN
@given(data=st.data())
def test_a_spoilt_manifest_never_breaks_it(
    fake: Path, talk_raw: TalkRaw, manifest_with: Callable[..., dict], data: st.DataObject
) -> None:
    content = bytearray(json.dumps(manifest_with(rules={**FEW, "max_runs": 5}, visits=["a"])).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=4))
    code, events, stderr = talk_raw(fake, bytes(content))
    assert code in (0, 1), stderr
    assert [e["type"] for e in events] == ["error"] if code else events[-1]["type"] == "done"


NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@settings(OFTEN, max_examples=8)
@given(names=st.lists(NAME, min_size=1, max_size=30, unique=True))
@example(['"\\/\b\f\n\r\t\x1f\x7f', "\u00e9\u20ac\U0001f600"])
def test_names_come_back_as_they_went(
    fake: Path, talk_raw: TalkRaw, manifest_with: Callable[..., dict], names: list[str]
) -> None:
    models = [{"id": name, "path": "a.tflite"} for name in names]
    manifest = manifest_with(models=models, visits=names, time_budget_seconds=0)
    for ascii_only in (True, False):
        _, events, stderr = talk_raw(fake, json.dumps(manifest, ensure_ascii=ascii_only).encode())
        assert [e["id"] for e in events if e["type"] == "error"] == names, stderr


def test_bytes_that_are_no_text_do_not_reach_the_host(fake: Path, talk_raw: TalkRaw, manifest_with: Any) -> None:
    content = json.dumps(manifest_with(models=[{"id": "XX", "path": "a.tflite"}], visits=["XX"])).encode()
    _, events, _ = talk_raw(fake, content.replace(b"XX", b"\xff\xc0\xaf\xed\xa0\x80"))
    assert {e["id"] for e in events if "id" in e} == {"?" * 6}


# ---- rules


def test_timing_stops_when_the_median_is_known_well_enough(fake: Path, talk: Talk) -> None:
    rules = {**FEW, "max_runs": 1000, "target_error": 1e9}
    assert [len(e["samples_ns"]) for e in talk(fake, visits=["a"], rules=rules) if e["type"] == "result"] == [5]


def test_timing_stops_when_the_time_is_up_but_not_before_the_fewest_runs(fake: Path, talk: Talk) -> None:
    rules = {**FEW, "min_runs": 7, "max_runs": 100_000, "max_seconds": 0}
    assert [len(e["samples_ns"]) for e in talk(fake, visits=["a"], rules=rules) if e["type"] == "result"] == [7]


def test_warm_up_goes_on_until_both_rules_are_met(fake: Path, talk: Talk) -> None:
    for rules in ({"warmup_runs": 1, "warmup_seconds": 0.05}, {"warmup_runs": 500, "warmup_seconds": 0}):
        (result,) = (e for e in talk(fake, visits=["a"], rules={**FEW, **rules}) if e["type"] == "result")
        assert result["warmup_ns"] >= 50_000_000


def test_short_calls_share_a_sample(fake: Path, talk: Talk) -> None:
    rules = {**FEW, "warmup_runs": 50, "min_sample_us": 5000}
    (result,) = (e for e in talk(fake, visits=["a"], rules=rules) if e["type"] == "result")
    assert 30 <= result["calls_per_sample"] <= 50, "5000 us of calls of 100 us or a little more"
    assert min(result["samples_ns"]) >= result["calls_per_sample"] * 100_000


def test_many_samples_are_all_sent(fake: Path, talk: Talk, write_fake: WriteFake) -> None:
    write_fake(fake, "a", "")
    rules = {**FEW, "min_runs": 5000, "max_runs": 5000, "min_sample_us": 0}
    (result,) = (e for e in talk(fake, visits=["a"], rules=rules) if e["type"] == "result")
    assert len(result["samples_ns"]) == len(result["cpu_ns"]) == 5000


def test_threads_have_no_cpu_times(fake: Path, talk: Talk) -> None:
    (result,) = (e for e in talk(fake, visits=["a"], threads=2) if e["type"] == "result")
    assert result["cpu_ns"] is None


def test_the_error_of_the_median_is_the_cpu_agents(tmp_path: Path) -> None:
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("needs gcc")
    sources = [Path(__file__).with_name("harness.c"), SOURCES / "timing.c", SOURCES / "json.c"]
    subprocess.run([gcc, "-std=c11", "-I", SOURCES, *sources, "-o", tmp_path / "harness", *LIBRARIES], check=True)
    # median 3, deviations 2, 1, 1, 2; then an odd count, one sample, and equal ones
    lists = [[1, 2, 4, 5], [9, 1, 5], [7], [3] * 8, [(i * 7919) % 1009 + 1 for i in range(400)]]
    lines = "".join(" ".join(map(str, samples)) + "\n" for samples in lists)
    done = subprocess.run([tmp_path / "harness"], input=lines, capture_output=True, text=True, check=True)
    assert [float(line) for line in done.stdout.split()] == [
        pytest.approx(relative_error_of_median(samples), rel=1e-12) for samples in lists
    ]


# ---- models


def test_a_model_is_loaded_anew_for_every_visit(fake: Path, talk_raw: TalkRaw, manifest_with: Any) -> None:
    code, _, stderr = talk_raw(fake, json.dumps(manifest_with(visits=list("aba"))).encode())
    assert code == 0
    told = [line for line in stderr.splitlines() if "load" in line]
    assert told == ["load a.tflite", "unload", "load b.tflite", "unload", "load a.tflite", "unload"]


def test_three_hundred_visits_leak_nothing(fake: Path, talk: Talk, write_fake: WriteFake) -> None:
    # the sanitizer looks at the end, and would spoil the exit code
    write_fake(fake, "b", "fail_run 3")
    rules = {**FEW, "min_runs": 2, "max_runs": 2}
    events = talk(fake, visits=["a", "b", "a"] * 100, rules=rules)
    assert len(said(events)) == 300


def test_inputs_are_of_the_seed(fake: Path, talk_raw: TalkRaw, manifest_with: Any, write_fake: WriteFake) -> None:
    write_fake(fake, "a", "inputs 2")

    def inputs(seed: int) -> list[list[float]]:
        _, _, stderr = talk_raw(fake, json.dumps(manifest_with(seed=seed, visits=["a"])).encode())
        return [[float(v) for v in line.split()[1:]] for line in stderr.splitlines() if line.startswith("input ")]

    first, second = inputs(7)
    assert inputs(7) == [first, second]
    assert first != second
    assert inputs(9)[0] not in (first, second)
    for values in (first, second):  # mean 0 and variance 1, both within 4 standard errors of 64 values
        assert abs(sum(values) / 64) < 4 * 0.125
        assert abs(sum(v * v for v in values) / 64 - 1) < 4 * 0.17


def test_threads_and_kernels_reach_the_runtime(fake: Path, talk_raw: TalkRaw, manifest_with: Any) -> None:
    _, _, stderr = talk_raw(fake, json.dumps(manifest_with(threads=3, delegate="none", visits=["a"])).encode())
    assert 'options kernel_mode = "builtin"\nnum_threads = 3\n' in stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fail_load 501", "LiteRT, loading: status 501 (not a valid .tflite file)"),
        ("fail_compile 504", "LiteRT, compiling: status 504 (the model cannot be compiled)"),
        ("fail_buffer 2", "LiteRT, buffers: status 2 (out of memory)"),
        ("inputs 65", "LiteRT, signature: status 5 (unsupported)"),
        ("fail_run 3", "the model fails when it is run: status 3"),
    ],
)
def test_a_failing_model_is_an_error_and_the_next_is_timed(
    fake: Path, talk: Talk, write_fake: WriteFake, words: str, message: str
) -> None:
    write_fake(fake, "a", words)
    events = talk(fake)
    assert said(events) == [("error", "a"), ("result", "b"), ("error", "a")]
    assert [e["message"] for e in events if e["type"] == "error"] == [message] * 2


def test_a_talkative_runtime_does_not_reach_the_protocol(fake: Path, talk: Talk, write_fake: WriteFake) -> None:
    write_fake(fake, "a", "chatter")
    assert said(talk(fake)) == [("result", "a"), ("result", "b"), ("result", "a")]


def test_what_does_not_fit_into_the_time_budget_is_told(clocked: Path, talk: Talk, write_fake: WriteFake) -> None:
    write_fake(clocked, "b", "spin 600000")
    rules = {**FEW, "min_runs": 1, "max_runs": 1, "warmup_runs": 1}
    events = talk(clocked, time_budget_seconds=1, rules=rules)
    assert said(events) == [("result", "a"), ("result", "b"), ("error", "a")]
    assert events[-1] == {"type": "done"}
    assert (events[-2]["reason"], events[-2]["message"]) == ("time_budget", "the time budget is spent")


@pytest.mark.parametrize(("words", "message"), [("crash", "ended by signal 6"), ("sleep 60", "no answer within 5 s")])
def test_a_runtime_that_crashes_or_hangs_is_found_out_by_the_host(
    fake: Path, manifest_with: Callable[..., dict], write_fake: WriteFake, words: str, message: str
) -> None:
    write_fake(fake, "b", words)
    manifest = manifest_with(heartbeat_seconds=0.2)
    events: list[Event] = []
    with pytest.raises(AgentFailed, match=message):
        events.extend(local_agent(["env", "-C", str(fake), "./agent"], fake, manifest, timeout_s=5))
    assert [(type(e), getattr(e, "id", None)) for e in events] == [
        (Hello, None), (Begins, "a"), (Result, "a"), (Begins, "b"),
    ]  # fmt: skip


# ---- delegates


def test_litert_is_told_where_its_accelerators_are(fake: Path, talk_raw: TalkRaw, manifest_with: Any) -> None:
    code, _, stderr = talk_raw(fake, json.dumps(manifest_with(delegate="gpu", visits=["a"])).encode())
    assert code == 0
    assert f"environment 22 8 {fake}\n" in stderr
    assert "environment" not in talk_raw(fake, json.dumps(manifest_with(visits=["a"])).encode())[2]


CLASSIC = """
static int it; void *f(void) { return &it; } int zero(void) { return 0; }
#define GIVES(name) void *name(void) { return &it; }
#define ZERO(name) int name(void) { return 0; }
GIVES(TfLiteModelCreateFromFile) ZERO(TfLiteModelDelete) GIVES(TfLiteInterpreterOptionsCreate)
ZERO(TfLiteInterpreterOptionsDelete) ZERO(TfLiteInterpreterOptionsSetNumThreads)
ZERO(TfLiteInterpreterOptionsAddDelegate) GIVES(TfLiteInterpreterCreate) ZERO(TfLiteInterpreterDelete)
ZERO(TfLiteInterpreterAllocateTensors) ZERO(TfLiteInterpreterInvoke) ZERO(TfLiteInterpreterGetInputTensorCount)
GIVES(TfLiteInterpreterGetInputTensor) GIVES(TfLiteInterpreterGetOutputTensor) GIVES(TfLiteTensorData)
ZERO(TfLiteTensorByteSize) ZERO(TfLiteTensorType)
const char *TfLiteVersion(void) { return "9.9"; }
"""
GPU = """
struct options { char all[96]; };
struct options TfLiteGpuDelegateOptionsV2Default(void) { struct options none = {{0}}; return none; }
static int it; void *TfLiteGpuDelegateV2Create(void *options) { (void)options; return &it; }
void TfLiteGpuDelegateV2Delete(void *delegate) { (void)delegate; }
"""


def test_the_classic_gpu_delegate_may_be_a_library_of_its_own(fake: Path, talk: Talk) -> None:
    for name, code in (("libtensorflowlite_c.so", CLASSIC), ("libgpu.so", GPU)):
        (fake / f"{name}.c").write_text(code)
        subprocess.run(["gcc", "-shared", "-fPIC", fake / f"{name}.c", "-o", fake / name], check=True)
    (error,) = talk(fake, code=1, backend="tflite", delegate="gpu")
    assert "libtensorflowlite_c.so has no gpu delegate (TfLiteGpuDelegateV2Create)" in error["message"]
    hello, *events = talk(fake, backend="tflite", delegate="gpu", delegate_library="./libgpu.so")
    assert (hello["delegate"], said(events)[0]) == ("gpu", ("result", "a"))
