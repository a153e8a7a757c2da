"""What runs the operators on a phone or board, and in what type it computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ofa.errors import InputError, UsageError
from profilers.measuring.events import Error, Event, Hello

Dtype = Literal["fp32", "fp16", "int8"]
# an agent's reasons for a visit whose outputs were not of float16, or bfloat16
NOT_FP16, NOT_BF16 = "not_fp16", "not_bf16"


def check_dtype(dtype: Dtype, delegate: str, runner: str = "agent") -> None:
    """UsageError where the type cannot be asked of what runs the operators."""
    if dtype == "int8" and delegate == "gpu":
        raise UsageError("--dtype int8 is not what --delegate gpu computes in: leave one out")
    if dtype == "fp16" and (delegate != "xnnpack" or runner != "agent"):
        other = f"--delegate {delegate}" if delegate != "xnnpack" else f"--runner {runner}"
        raise UsageError(f"--dtype fp16 is an option of XNNPACK in our agent: {other} has none, leave one out")


def dtype_of(delegate: str, dtype: Dtype = "fp32") -> str:
    """What a header says: the type that models are computed in; int8 is that of the models themselves.

    A delegate of a GPU or NPU may choose less than float32, and does not tell.
    """
    if dtype == "int8":
        return dtype
    if delegate not in ("xnnpack", "none"):
        return "not known"
    return "float32" if dtype == "fp32" else "fp16"


def dtype_in(header: Mapping[str, str]) -> Dtype:
    """What a header's table was asked for."""
    stated = header.get("dtype")
    return "fp16" if stated == "fp16" else "int8" if stated == "int8" else "fp32"


def model_dtype(dtype: Dtype) -> str:
    """The type that models are written in: XNNPACK makes float16 of float32 itself."""
    return "int8" if dtype == "int8" else "fp32"


def asked_dtype(dtype: Dtype) -> dict[str, str]:
    """The manifest's fields; none for float32, so that journals of before there was a choice are gone on with.

    Nor for int8, which the models say themselves.
    """
    return {"dtype": dtype} if dtype == "fp16" else {}


def check_computed(event: Event, manifest: Mapping[str, Any]) -> None:
    """InputError where an agent says that the runtime did not compute in the type that was asked for, or does not know.

    manifest: what the agent was asked
    """
    if isinstance(event, Error) and event.reason in (NOT_FP16, NOT_BF16):
        dtype = event.reason.removeprefix("not_")
        raise InputError(f"--dtype {dtype} has no effect here ({event.message}): leave it out")
    wanted = manifest.get("dtype")
    if isinstance(event, Hello) and wanted is not None and event.settings.get("computes_in") != wanted:
        raise InputError(f"--dtype {wanted}: this agent does not know of it, build it again from device_agents/android")
