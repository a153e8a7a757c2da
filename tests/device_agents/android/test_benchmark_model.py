"""Parsing benchmark_model's output. No such binary is to be had here: the texts are in the format that TensorFlow's
sources print and that published logs show, with figures of our own."""

import pytest

from device_agents.android.benchmark_model import BenchmarkFailed, arguments, parse

OLDER = """
STARTING!
Log parameter values verbosely: [0]
Num threads: [1]
Graph: [/data/local/tmp/b00001.tflite]
INFO: Initialized TensorFlow Lite runtime.
Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.
The input model file size (MB): 0.0132
Initialized session in 4.321ms.
Running benchmark for at least 4 iterations and at least 0.02 seconds but terminate if exceeding 150 seconds.
count=8 first=3100 curr=2400 min=2390 max=3100 avg=2500.5 std=200

Running benchmark for at least 30 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=400 first=2410 curr=2399 min=2391 max=2700 avg=2402.25 std=12

Inference timings in us: Init: 4321, First inference: 3100, Warmup (avg): 2500.5, Inference (avg): 2402.25
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory.
Memory footprint delta from the start of the tool (MB): init=2.5 overall=3.75
"""


def test_the_mean_of_all_runs_is_one_sample() -> None:
    result = parse(OLDER)
    assert (result["samples_ns"], result["calls_per_sample"]) == ([960_900_000], 400)
    assert (result["statistic"], result["runs"]) == ("mean", 400)
    assert (result["min_ns"], result["max_ns"], result["std_ns"]) == (2_391_000, 2_700_000, 12_000)
    assert (result["setup_ns"], result["warmup_ns"], result["timed_ns"]) == (4_321_000, 20_004_000, 960_900_000)
    assert result["delegated"] == "completely"


def test_what_it_does_not_tell_is_null() -> None:
    result = parse(OLDER)
    for field in (
        "cpu_ns",
        "involuntary_switches",
        "temperature_c_before",
        "clock_mhz_after",
        "cpu",
        "peak_memory_kib",
    ):
        assert result[field] is None


def test_a_median_is_preferred_to_the_mean() -> None:
    newer = OLDER.replace("avg=2402.25 std=12", "avg=2402.25 std=12 p5=2392 median=2400 p95=2440").replace(
        "Memory footprint delta",
        "Overall peak memory footprint (MB) via periodic monitoring: 5.5\nMemory footprint delta",
    )
    result = parse("".join(f"I tflite  : {line}\n" for line in newer.splitlines()))
    assert (result["samples_ns"], result["calls_per_sample"], result["statistic"]) == ([2_400_000], 1, "median")
    assert result["peak_memory_kib"] == 5632


def test_equal_and_large_figures_are_read() -> None:
    short = OLDER.replace("count=8 first=3100 curr=2400 min=2390 max=3100 avg=2500.5 std=200", "count=1 curr=3512391")
    large = short.replace("avg=2402.25", "avg=2.95034e+06")
    assert parse(large)["samples_ns"] == [2_950_340_000 * 400]
    same = short.replace("count=400 first=2410 curr=2399 min=2391 max=2700 avg=2402.25 std=12", "count=5 curr=7")
    assert (parse(same)["samples_ns"], parse(same)["calls_per_sample"], parse(same)["std_ns"]) == ([35_000], 5, 0)


@pytest.mark.parametrize(
    ("said", "delegated"),
    [
        ("partially executed by the delegate w/ 2 delegate kernels.", "partially"),
        ("completely executed by the delegate.", "completely"),
    ],
)
def test_partial_delegation_is_told(said: str, delegated: str) -> None:
    assert parse(OLDER.replace("completely executed by the delegate.", said))["delegated"] == delegated


def test_refused_delegation_is_told() -> None:
    said = "Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate."
    lines = [said if "Explicitly" in line else line for line in OLDER.splitlines()]
    assert parse("\n".join(lines))["delegated"] == "not"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "benchmark_model printed no timings"),
        ("STARTING!\nERROR: Failed to load model /x.tflite\nBenchmarking failed.\n", "Failed to load model /x.tflite"),
        ("./benchmark_model: not found\n", "not found"),
        (OLDER.split("Running benchmark for at least 30")[0], "printed no timings"),
        (OLDER.replace("avg=2402.25", "avg=nan").replace("(avg): 2402.25", "(avg): nan"), "printed no timings"),
        (OLDER.replace("count=400", "count=0"), "printed no timings"),
        (OLDER.replace("avg=2402.25", "avg=0"), "printed no sound timings"),
    ],
)
def test_a_run_that_failed_says_why(output: str, message: str) -> None:
    with pytest.raises(BenchmarkFailed, match=message):
        parse(output)


def test_the_rules_become_its_flags() -> None:
    rules = {"warmup_runs": 4, "warmup_seconds": 0.02, "min_runs": 30, "max_seconds": 0.15}
    flags = arguments("b.tflite", 2, rules, "gpu")
    assert flags[:3] == ["--graph=b.tflite", "--num_threads=2", "--warmup_runs=4"]
    assert flags[3:6] == ["--warmup_min_secs=0.02", "--num_runs=30", "--min_secs=0.15"]
    assert flags[6:] == ["--use_xnnpack=false", "--use_gpu=true", "--use_nnapi=false"]
