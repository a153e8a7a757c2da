"""--dtype int8 of phones, boards and this CPU: what headers say, what is refused, what the journal is bound to."""

from pathlib import Path

import pytest

from ofa.errors import InputError, UsageError
from profilers.android import AndroidConfig
from profilers.devices.delegates import asked_dtype, dtype_in, dtype_of, model_dtype
from profilers.devices.local_cpu import cpu_target, dtype_of_header, target_of_header
from profilers.linux import LinuxConfig

CPU = {"runtime": "onnxruntime 1.32.0", "dtype": "int8"}


@pytest.mark.parametrize("delegate", ["xnnpack", "none", "nnapi"])
def test_a_header_says_int8_and_the_models_are_but_the_agent_is_not_asked(delegate: str) -> None:
    assert dtype_of(delegate, "int8") == "int8"
    assert dtype_in({"dtype": "int8"}) == "int8"
    assert asked_dtype("int8") == {}, "agents know fp32 and fp16: models tell the rest"
    assert [model_dtype(dtype) for dtype in ("fp32", "fp16", "int8")] == ["fp32", "fp32", "int8"]


def test_a_gpu_delegate_computes_no_int8() -> None:
    with pytest.raises(UsageError, match="--dtype int8 is not what --delegate gpu computes in"):
        AndroidConfig(out=Path("t.csv"), dtype="int8", delegate="gpu")
    LinuxConfig(out=Path("t.csv"), host="h", dtype="int8", delegate="none")


def test_a_table_of_int8_asks_for_int8_again() -> None:
    target = target_of_header(CPU, 60.0)
    assert target.dtype == "int8"
    assert target.header["dtype"] == "int8"
    assert target_of_header({**CPU, "dtype": "float32"}, 60.0).dtype == "fp32"
    assert dtype_of_header({"runtime": "x"}) == "fp32", "tables of before there was a choice"


def test_a_type_that_there_are_no_models_of_is_refused() -> None:
    with pytest.raises(InputError, match=r"dtype is 'int4', which profilers.cpu has no models of: float32, int8"):
        target_of_header({**CPU, "dtype": "int4"}, 60.0)
    with pytest.raises(InputError, match="no int8 models of the runtime torch: use onnxruntime or tflite"):
        cpu_target("torch", 1, 1, None, 60.0, dtype="int8")
