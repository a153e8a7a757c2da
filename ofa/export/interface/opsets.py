"""Which opsets an ONNX file can be written in, and what each lacks."""

from __future__ import annotations

from importlib.metadata import version

from ofa.errors import InputError
from ofa.graph.onnx import OLDEST_OPSET
from ofa.graph.onnx_int8 import CHANNEL_SCALES_SINCE
from ofa.optional_packages import require
from ofa.reading.numbers import cut


def check_opset(opset: int, *, int8: bool) -> None:
    """InputError where onnx does not know the opset, or it lacks what the file needs; MissingPackage without onnx."""
    require("onnx", "--opset")
    import onnx

    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise InputError(
            f"--opset is {opset}, expected {OLDEST_OPSET} to {newest}, the newest that onnx {version('onnx')} knows"
        )
    if int8 and opset < CHANNEL_SCALES_SINCE:
        raise InputError(
            f"--int8 needs --opset {CHANNEL_SCALES_SINCE} or newer: in opset {opset}, QuantizeLinear has one scale for "
            "all channels of a weight"
        )


def not_run(opset: int, error: Exception) -> InputError:
    """What a runtime's refusal of a model means for the user."""
    reason = cut(" ".join(str(error).split()), 200)
    return InputError(f"--opset {opset}: onnxruntime {version('onnxruntime')} does not run it, try an older: {reason}")


def check_onnx(model: bytes) -> None:
    """Raises onnx's ValidationError where a model is not what its opset says: a fault of ours."""
    import onnx

    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
