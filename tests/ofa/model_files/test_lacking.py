"""What runtimes really say of operators that they lack, as it was said of planted models on 2026-11-27."""

import pytest

from ofa.model_files.lacking import in_words, lacking, not_taken

SAID = {
    "Didn't find op for builtin opcode 'CONV_2D' version '99'. An older version of this builtin might be supported. "
    "Are you using an old TFLite binary with a newer model? Registration failed.": "the operator CONV_2D of version 99",
    "Encountered unresolved custom op: VendorQuant. See instructions: https://www.tensorflow.org/lite/guide/ops_custom "
    "Node number 0 (VendorQuant) failed to prepare.": "the operator VendorQuant",
    "Fail: [ONNXRuntimeError] : 1 : FAIL : Load model from /tmp/x/b00006.onnx failed:Fatal error: "
    "com.vendor:QuantizeLinear(-1) is not a registered function/op": "the operator com.vendor:QuantizeLinear",
    'INVALID_GRAPH : This is an invalid model. In Node, ("QuantizeLinear_13", QuantizeLinearTwo, "", -1) : ("conv12": '
    'tensor(float),) -> ("q",) , Error No Op registered for QuantizeLinearTwo with domain_version of 18': (
        "the operator QuantizeLinearTwo"
    ),
    "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for ConvInteger(10) node with name "
    "'conv'": "the operator ConvInteger of opset 10 for these tensors",
    "ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions. Opset 99 is "
    "under development and support for this is limited.": "operators of opset 99",
    "Unsupported model IR version: 99, max supported IR version: 14": "support of ONNX files of IR version 99",
    "RuntimeError: Exception from src/inference/src/cpp/core.cpp:84: Check 'false' failed: Summary: -- No conversion "
    "rule found for operations: com.vendor.QuantizeLinear -- Conversion is failed for: Conv-18": (
        "the operator com.vendor.QuantizeLinear"
    ),
}


@pytest.mark.parametrize("said", SAID)
def test_the_operator_is_named(said: str) -> None:
    assert lacking(said) == SAID[said]
    words = in_words(said, "runtime 1.2")
    assert words.startswith(
        f"runtime 1.2 lacks {SAID[said]}: install a newer version of it, or profile with another --"
    )


def test_other_words_stay_but_for_the_name_of_a_temporary_file() -> None:
    """So models of one reason have one reason."""
    assert in_words("ValueError: no memory", "r") == "ValueError: no memory"
    assert in_words("Fail: Load model from /tmp/x/b1.onnx failed:bad", "r") == "Fail: bad"
    assert in_words(next(iter(SAID)), "").startswith("the runtime lacks ")
    assert not_taken(ValueError("no memory"), "onnx") == ""
