"""Sessions of onnxruntime on one execution provider, which alone may run them, and models bound to device memory."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from device_agents.cuda.kernel import loaded

KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
CPU = "CPUExecutionProvider"
# what brings the libraries of a provider
WAYS_OUT = {
    "CUDAExecutionProvider": "pip install 'onnxruntime-gpu[cuda,cudnn]'",
    "TensorrtExecutionProvider": "pip install 'onnxruntime-gpu[cuda,cudnn]' tensorrt",
}
# an ONNX model, y = Relu(x) of one number: whether a provider runs anything is asked before the first visit
PROBE = bytes.fromhex(
    "08093a330a0c0a0178120179220452656c751201675a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a001012"
)
_PREFIXED = "trt_engine_cache_enable"
_LACKS = re.compile(r"\S+: cannot open shared object file")


class NotUsed(ValueError):
    """A provider does not run a model, or not all of it."""


@dataclass(frozen=True)
class Provider:
    """An execution provider. options: its own, by their names; kind, index: where its memory is, "cuda" and 0"""

    name: str
    options: Mapping[str, str]
    kind: str
    index: int

    def session(self, model: str | bytes) -> Any:
        """A new session, all of which the provider runs; NotUsed where a part would fall back to the CPU."""
        import onnxruntime

        options, own = onnxruntime.SessionOptions(), dict(self.options)
        if _PREFIXED in own and isinstance(model, str):
            own["trt_engine_cache_prefix"] = Path(model).stem  # no engine of another model is taken for its own
        options.log_severity_level = 3
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        if self.name != CPU:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            session = onnxruntime.InferenceSession(
                model, options, providers=[self.name], provider_options=[own], enable_fallback=0
            )
        except Exception as error:
            if "default CPU EP" in str(error):
                raise NotUsed(f"{self.name} does not run all of this model: the rest would run on the CPU") from None
            raise
        if (used := session.get_providers()[0]) != self.name:
            raise NotUsed(f"onnxruntime took {used} in place of {self.name}")
        return session

    def check(self) -> Model:
        """A model of one operator, which ran; NotUsed, with the reason, where the provider runs nothing here."""
        if self.name != CPU:
            _load_libraries()
        try:
            return Model(self.session(PROBE), self, np.random.default_rng(0), None)
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            if isinstance(error, NotUsed):
                reason = "it leaves even the smallest model to the CPU: see that nvidia-smi shows a GPU"
            if lacking := missing_library(self.name):
                reason = f"{lacking}: {WAYS_OUT[self.name]}"
            raise NotUsed(f"{self.name} does not run here: {reason}") from None


def _load_libraries() -> None:
    """Those that Python packages brought: TensorRT's by its own package, CUDA's by onnxruntime, unless torch did."""
    import onnxruntime

    with contextlib.suppress(ImportError):
        importlib.import_module("tensorrt")
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()


class Model:
    """A session with its input and output on the device. Calling it is a run, which is waited for without `unwaited`.

    given: where its input lies; None: random numbers of its own
    """

    def __init__(self, session: Any, provider: Provider, rng: np.random.Generator, given: Any) -> None:
        import onnxruntime

        (entry,), (output,) = session.get_inputs(), session.get_outputs()
        value, where = onnxruntime.OrtValue, (provider.kind, provider.index)
        if given is None:
            given = value.ortvalue_from_numpy(
                rng.standard_normal(entry.shape, dtype=np.float32).astype(KINDS[entry.type]), *where
            )
        self._session, self.given = session, given
        self.output = value.ortvalue_from_shape_and_type(output.shape, KINDS[output.type], *where)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(entry.name, self.given)
        self._binding.bind_ortvalue_output(output.name, self.output)
        self._options: Any = None
        # engines are built, algorithms chosen and graphs captured in a first run, which is waited for
        self()

    def unwaited(self) -> None:
        """From now on runs are queued, and not waited for."""
        import onnxruntime

        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def __call__(self) -> None:
        self._session.run_with_iobinding(self._binding, self._options)


def missing_library(provider: str) -> str | None:
    """Which library a provider lacks, which onnxruntime writes into its log alone; None where that is not the fault."""
    import onnxruntime

    short = provider.removesuffix("ExecutionProvider").lower()
    library = Path(onnxruntime.__file__).parent / "capi" / f"libonnxruntime_providers_{short}.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        found = _LACKS.search(str(error))
        return found.group() if found and library.name not in found.group() else None
    return None


def version_of(library: str, function: str) -> int | None:
    """What a library says of its version, if this process has loaded it; its name begins so."""
    for path in loaded(library):
        try:
            return int(getattr(ctypes.CDLL(path), function)())
        except (OSError, AttributeError):
            continue
    return None


def tensorrt_version() -> str | None:
    """Of the library that was loaded: 100900 is 10.9.0, and 8601, as before 10, is 8.6.1."""
    number = version_of("libnvinfer", "getInferLibVersion")
    if number is None:
        return None
    step = 10_000 if number >= 10_000 else 1000
    return f"{number // step}.{number % step // 100}.{number % 100}"
