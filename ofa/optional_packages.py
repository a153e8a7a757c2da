"""Packages that only some commands need: what each is called, and which extra of ofa-latency installs it."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from ofa.errors import InputError

# module: (its package, the extra that installs it); a test reads all imports, and the extras in pyproject.toml
OPTIONAL = {
    "PIL": ("Pillow", "train"),
    "adb_shell": ("adb-shell", "android"),
    "ai_edge_litert": ("ai-edge-litert", "tflite"),
    "coremltools": ("coremltools", "coreml"),
    "flatbuffers": ("flatbuffers", "tflite"),
    "jinja2": ("Jinja2", "report"),
    "matplotlib": ("matplotlib", "report"),
    "onnx": ("onnx", "onnxruntime"),
    "onnxruntime": ("onnxruntime", "onnxruntime"),
    "openvino": ("openvino", "openvino"),
    "pillow_heif": ("pillow-heif", "heic"),
    "pynvml": ("nvidia-ml-py", "gpu"),
    "ray": ("Ray", "lab"),
    "scipy": ("SciPy", "report"),
    "tflite_runtime": ("tflite-runtime", "tflite-runtime"),
    "torchvision": ("torchvision", "train"),
    "vl_convert": ("vl-convert-python", "report"),
    "yaml": ("PyYAML", "convert"),
}


class MissingPackage(InputError):
    """A package is not installed; the message says which, for what, and how to install it."""

    exit_code = 2


def missing_package(module: str, purpose: str = "this") -> MissingPackage:
    """The error for an optional module that cannot be imported; purpose: what needs it, such as "reading images"."""
    package, extra = OPTIONAL[module]
    return MissingPackage(f"{purpose} needs {package}: pip install 'ofa-latency[{extra}]'")


def require(module: str, purpose: str) -> None:
    """MissingPackage where the module is not installed: asked before long work whose end needs it."""
    if sys.modules.get(module) is None and (module in sys.modules or find_spec(module) is None):
        raise missing_package(module, purpose)


def explained(error: ImportError) -> MissingPackage | None:
    """What an import that failed means for the user; None where it is not of an optional package."""
    module = (error.name or "").partition(".")[0]
    return missing_package(module) if module in OPTIONAL else None
