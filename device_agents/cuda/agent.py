"""The GPU agent: times models by CUDA events, and speaks the protocol of device_agents/PROTOCOL.md.

    python device_agents/cuda/agent.py manifest.json

Nothing of the host side: copy the folder device_agents/cuda to a machine with torch, and it runs there; for the
runtimes onnxruntime-cuda and tensorrt, with onnxruntime-gpu. The few lines that it shares with the CPU agent it
repeats, so that either can be copied alone. nvidia-ml-py, where it is installed, tells clock, temperature, throttling,
other processes and energy. The device "cpu" is for tests.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import torch

if not __package__:  # started as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from device_agents.cuda.device import CaptureFailed, Cpu, Cuda, Waited, end_lost, load_average
from device_agents.cuda.nvml import Nvml, nvml_of
from device_agents.cuda.onnx_session import NotUsed
from device_agents.cuda.onnx_visits import PROVIDERS, OnnxAgent, onnx_agent
from device_agents.cuda.torch_visits import DTYPES, Agent
from device_agents.cuda.visits import NoParts, Visits

PROTOCOL = 1
CHOICES = {
    "runtime": ("torch", *PROVIDERS),
    "dtype": tuple(DTYPES),
    "mode": ("graph", "eager", "compile"),
    "memory_format": ("channels-last", "contiguous"),
    "inputs": ("cold", "warm"),
}


class Speaker:
    """Writes protocol lines to the real standard output, and points the runtime's own chatter at stderr."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
        os.dup2(2, 1)

    def say(self, kind: str, **fields: Any) -> None:
        with self._lock:
            self._out.write(json.dumps({"type": kind, **fields}, allow_nan=False) + "\n")
            self._out.flush()


def prepared(manifest: dict[str, Any], folder: Path = Path()) -> Agent | OnnxAgent:
    """Checks what the manifest asks for, and opens the device. Raises ValueError. folder: of the models"""
    if (stated := manifest.get("protocol", "missing")) != PROTOCOL:
        raise ValueError(f"manifest is of protocol {stated!r}, this agent speaks {PROTOCOL}")
    for field, expected in CHOICES.items():
        if manifest[field] not in expected:
            raise ValueError(f"{field} is {manifest[field]!r}, expected one of {', '.join(expected)}")
    device = torch.device(manifest["device"])
    _settle_tf32(manifest, device)
    if manifest["runtime"] in PROVIDERS:
        return onnx_agent(manifest, *_opened_for_onnx(manifest, device), folder)
    if device.type == "cpu":
        torch.set_num_threads(1)
        return Agent(manifest, Cpu(device), Nvml(None, "", "this is a CPU"))
    cuda = _cuda_with(manifest["dtype"], device)
    # fp32 means fp32: by default cuDNN would use tf32
    with warnings.catch_warnings():
        # since torch 2.9 of newer names; the older ones hold everywhere, and both must not be mixed
        warnings.simplefilter("ignore")
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = manifest["dtype"] == "tf32"
    return Agent(manifest, cuda, opened(cuda))


def opened(cuda: Cuda) -> Nvml:
    """Begins to use the GPU; what tells of it, and knows this process there."""
    nvml = nvml_of(str(cuda.properties.uuid))
    before = nvml.processes()
    cuda.open()
    nvml.ours = (nvml.processes() or set()) - (before or set()) | {os.getpid()}
    return nvml


def _settle_tf32(manifest: Mapping[str, Any], device: torch.device) -> None:
    """Whether libraries may round products to TF32, as TensorRT and cuDNN do: they read it once, when CUDA begins."""
    if manifest["dtype"] == "tf32":
        os.environ.pop("NVIDIA_TF32_OVERRIDE", None)
    elif device.type == "cuda" and manifest["runtime"] in PROVIDERS and manifest["dtype"] == "fp32":
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"


def _cuda_with(dtype: str, device: torch.device) -> Cuda:
    """A GPU; ValueError where it has no such numbers."""
    cuda = Cuda(device)
    if dtype in ("tf32", "bf16") and cuda.properties.major < 8:
        raise ValueError(f"{cuda.properties.name} has no {dtype}: it takes compute capability 8.0")
    return cuda


def _opened_for_onnx(manifest: Mapping[str, Any], device: torch.device) -> tuple[Cuda | Cpu, Nvml]:
    if device.type == "cpu":
        return Cpu(device), Nvml(None, "", "this is a CPU")
    if not torch.cuda.is_available():
        return Waited(device), Nvml(None, "", "torch has no CUDA here, and so does not tell which GPU it is")
    cuda = _cuda_with(manifest["dtype"], device)
    return cuda, opened(cuda)


def beat(speaker: Speaker, seconds: float) -> None:
    """Says now and then that the agent lives; ends it, hanging or not, when nobody listens any more."""
    try:
        while True:
            time.sleep(seconds)
            speaker.say("heartbeat")
    except OSError:
        os._exit(1)


def usable(agent: Visits) -> bool:
    """Frees what a failed visit left; False where even this fails, as after an illegal access."""
    try:
        agent.let_go()
    except Exception:
        return False
    return True


def safe_path(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise ValueError(f"model path {name!r} leaves the manifest's folder")
    return path


def files_of(model: Mapping[str, Any], folder: Path) -> Path | list[Path]:
    """Where a model of the manifest lies, or its parts."""
    if "parts" not in model:
        return safe_path(folder, model["path"])
    if not model["parts"]:
        raise ValueError(f"model {model['id']!r} has no parts")
    return [safe_path(folder, name) for name in model["parts"]]


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    speaker = Speaker()
    try:
        manifest = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
        folder = Path(argv[0]).resolve().parent
        models = {model["id"]: files_of(model, folder) for model in manifest["models"]}
        agent = prepared(manifest, folder)
    except NotUsed as error:
        speaker.say("error", id=None, message=str(error))
        return 1
    except Exception as error:
        speaker.say("error", id=None, message=f"{type(error).__name__}: {error}")
        return 1
    speaker.say(
        "hello",
        protocol=PROTOCOL,
        agent="cuda",
        runtime=agent.runtime_version,
        device={
            **agent.facts(),
            "os": f"{platform.system()} {platform.release()}",
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "load_average": load_average(),
        },
    )
    threading.Thread(target=beat, args=(speaker, manifest.get("heartbeat_seconds", 5)), daemon=True).start()
    for number, name in enumerate(manifest["visits"]):
        speaker.say("visit", visit=number, id=name)
        try:
            model = models[name]
            result = agent.visit_parts(model) if isinstance(model, list) else agent.visit(name, model)
        except NoParts as error:
            speaker.say("error", visit=number, id=name, message=str(error), reason=error.reason)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, CaptureFailed) or not usable(agent):
                end_lost(reason)
            speaker.say("error", visit=number, id=name, message=reason)
        else:
            speaker.say("result", visit=number, id=name, **result)
    speaker.say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
