"""In what type a delegate computes: as asked, as a header says it, and what an agent saw that it is not."""

from pathlib import Path

import pytest

from ofa.errors import InputError, UsageError
from profilers.android import AndroidConfig
from profilers.devices.delegates import asked_dtype, check_computed, dtype_in, dtype_of
from profilers.linux import LinuxConfig
from profilers.measuring.events import Done, Error, Hello

FP16 = {"dtype": "fp16"}


@pytest.mark.parametrize(
    ("delegate", "dtype", "header"),
    [("xnnpack", "fp32", "float32"), ("none", "fp32", "float32"), ("gpu", "fp32", "not known"),
     ("xnnpack", "fp16", "fp16")],
)  # fmt: skip
def test_the_header_says_what_was_asked_for_and_is_asked_for_again(delegate: str, dtype, header: str) -> None:
    assert dtype_of(delegate, dtype) == header
    assert dtype_in({"dtype": header}) == dtype
    assert asked_dtype(dtype) == ({"dtype": "fp16"} if dtype == "fp16" else {}), "journals of before go on"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"delegate": "gpu"}, "--dtype fp16 is an option of XNNPACK in our agent: --delegate gpu has none"),
        ({"delegate": "none"}, "--delegate none has none"),
        ({"runner": "benchmark_model"}, "--runner benchmark_model has none"),
    ],
)
def test_what_cannot_be_told_is_refused(options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        AndroidConfig(out=Path("t.csv"), dtype="fp16", **options)
    if "runner" not in options and options["delegate"] == "none":
        with pytest.raises(UsageError, match=words):
            LinuxConfig(out=Path("t.csv"), host="h", dtype="fp16", **options)


def test_a_type_that_had_no_effect_ends_the_run_and_any_other_error_does_not() -> None:
    check_computed(Error(0, "a", "the model fails"), FP16)
    check_computed(Done(), FP16)
    with pytest.raises(InputError, match=r"--dtype fp16 has no effect here \(computed in float32\): leave it out"):
        check_computed(Error(0, "a", "computed in float32", "not_fp16"), FP16)


def test_an_agent_of_before_there_was_a_choice_is_not_believed_to_have_made_it() -> None:
    check_computed(Hello("android", "r", {}, {"computes_in": "fp16"}), FP16)
    check_computed(Hello("android", "r", {}), {})
    with pytest.raises(InputError, match="--dtype fp16: this agent does not know of it, build it again"):
        check_computed(Hello("android", "r", {}, {"delegate": "xnnpack"}), FP16)
