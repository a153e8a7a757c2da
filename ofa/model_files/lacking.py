"""What runtimes say of a model whose operators they do not have, in words that name the operator.

Each runtime has sentences of its own, which are known here by what was planted in models: operators of a later
version, of a vendor, and of another opset. Of anything else, its own words stay.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

PACKAGES = {"onnx": "onnxruntime", "tflite": "ai-edge-litert"}  # what runs a format here
_OPERATOR = "the operator {}"
_SAID = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'", "the operator {} of version {}"),
        (r"Encountered unresolved custom op: ([\w:.-]*\w)", _OPERATOR),
        (r"Fatal error: ([\w.:-]+)\(-?\d+\) is not a registered function/op", _OPERATOR),
        (r"Could not find an implementation for (\w+)\((\d+)\)", "the operator {} of opset {} for these tensors"),
        (r"No Op registered for ([\w.:-]+) with domain_version of \d+", _OPERATOR),
        (r"Opset (\d+) is under development", "operators of opset {}"),
        (r"Unsupported model IR version: (\d+)", "support of ONNX files of IR version {}"),
        (r"No conversion rule found for operations: ([\w.:-]*\w)", _OPERATOR),
        (r"Unknown builtin op: ([\w:]*\w)", _OPERATOR),
    )
)
_PLACE = re.compile(r"Load model from \S+ failed: ?")


def lacking(message: str) -> str:
    """What a runtime lacks, by its message, such as "the operator CONV_2D of version 99"; "" where it says no such."""
    for pattern, words in _SAID:
        if found := pattern.search(message):
            return words.format(*found.groups())
    return ""


def in_words(message: str, runtime: str) -> str:
    """What an agent said of a model that its runtime did not take, for whoever profiles."""
    if what := lacking(message):
        named = runtime or "the runtime"
        return f"{named} lacks {what}: install a newer version of it, or profile with another --runtime or --dtype"
    return _PLACE.sub("", message)


def not_taken(error: Exception, format_name: str) -> str:
    """Why the runtime of a format does not take a file: what it lacks and the way out; "" where it says no such."""
    if not (what := lacking(" ".join(str(error).split()))):
        return ""
    package = PACKAGES[format_name]
    other = "tflite" if format_name == "onnx" else "onnx"
    older = " with an older --opset, or" if format_name == "onnx" else ""
    return (
        f"{package} {_version(package)} lacks {what}: install a newer {package} (pip install -U {package}), or export "
        f"the network again{older} as --format {other}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # such as onnxruntime-gpu
        return "here"
