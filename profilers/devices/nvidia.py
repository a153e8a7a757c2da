"""NVIDIA GPUs of this machine as targets: which there are, at what pace, and the same again from a table's header."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ofa.cli.config import flag_of
from ofa.errors import InputError, NoDevice
from ofa.optional_packages import MissingPackage, require
from ofa.reading.numbers import short
from ofa.runs import system
from profilers.measuring.conversation import local_agent
from profilers.measuring.events import Event, Hello
from profilers.measuring.pace import InPlacePace, Pace
from profilers.measuring.target import Target

AGENT = Path(__file__).resolve().parents[2] / "device_agents" / "cuda" / "agent.py"
RULES = {
    "warmup_runs": 20,
    "warmup_seconds": 0.01,
    "warmup_max_seconds": 1.0,
    "settle": 0.01,
    "min_runs": 20,
    "max_runs": 200,
    "max_seconds": 0.03,
    "target_error": 0.001,
    "min_sample_us": 200,
}
PACE = Pace(
    rules=RULES,
    rounds=3,
    quick={**RULES, "warmup_seconds": 0.003, "min_runs": 10, "max_seconds": 0.01, "target_error": 0.003},
    quick_rounds=2,
    # a whole network is a sample of its own, and fills clock and caches in a few runs
    whole={**RULES, "warmup_runs": 6, "min_runs": 6, "max_seconds": 0.04},
    whole_rounds=2,
)
# a pass is a sample of every block
IN_PLACE = InPlacePace(
    blocks=PACE.quick,
    parts={**RULES, "warmup_runs": 3, "min_runs": 10, "max_runs": 40, "max_seconds": 0.05},
    rounds=PACE.rounds,
    quick_rounds=PACE.quick_rounds,
)
# launched one by one, runs take the time that launching takes, which varies: longer samples
EAGER = {"min_sample_us": 1000}
# fields of the agent's manifest that the table's header keeps, so that the same can be measured again
ASKED = ("dtype", "mode", "memory_format", "inputs")
# onnxruntime's providers for GPUs, by the names of runtimes, and what they can be asked for
PROVIDERS = {"onnxruntime-cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
RUNTIMES = ("torch", *PROVIDERS)
OF_PROVIDERS: Mapping[str, tuple[str, ...]] = {
    "dtype": ("fp32", "tf32", "fp16"),
    "mode": ("graph", "eager"),
    "memory_format": ("contiguous",),
    "inputs": ("warm",),
}
# TensorRT builds an engine for every model, which is no silence
BUILD_S = 600.0


def found_devices(names: str, runtime: str = "torch") -> list[str]:
    """The devices asked for; NoDevice where there is no GPU, InputError for one that there is not.

    A provider of onnxruntime may run where torch has no CUDA: then the agent finds out.
    """
    devices = ["cuda:0" if name == "cuda" else name for name in names.split(",")]
    for device in devices:
        if not re.fullmatch(r"(cuda|cpu):\d+|cpu", device) or devices.count(device) > 1:
            raise InputError(f"--device is {names!r}, expected different ones such as cuda:0 or cuda:0,cuda:1")
    if wanted := [device for device in devices if device.startswith("cuda")]:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a driver that is too old, say: nvidia-smi tells it better
            count = torch.cuda.device_count()
        if not count and runtime in PROVIDERS and torch.version.cuda is None:
            return devices
        if not count:
            why = (
                f"torch {torch.__version__} is built without CUDA"
                if torch.version.cuda is None
                else f"torch {torch.__version__} finds none (does nvidia-smi?)"
            )
            raise NoDevice(
                f"there is no CUDA GPU here: {why}; this machine's CPU is measured by python -m profilers.cpu"
            )
        for device in wanted:
            if int(device.split(":")[1]) >= count:
                there = ", ".join(f"cuda:{i}" for i in range(count))
                raise NoDevice(f"--device names {device}, there is {there}")
    return devices


def check_asked(runtime: str, asked: Mapping[str, str]) -> None:
    """InputError for what a runtime cannot be asked for. asked: the fields `ASKED`"""
    if runtime not in RUNTIMES:
        raise InputError(f"runtime is {short(runtime)}, expected one of {', '.join(RUNTIMES)}")
    for field, known in OF_PROVIDERS.items():
        if runtime in PROVIDERS and asked[field] not in known:
            takes = " or ".join(known)
            raise InputError(
                f"--runtime {runtime} has no {flag_of(field)} {asked[field]}: use {flag_of(field)} {takes}, or "
                "--runtime torch"
            )


def check_provider(runtime: str, device: str) -> None:
    """MissingPackage or NoDevice, with the way out, where onnxruntime is not here, or was built without a provider."""
    if runtime not in PROVIDERS:
        return
    require("onnx", f"--runtime {runtime}")
    if find_spec("onnxruntime") is None:
        raise MissingPackage(f"--runtime {runtime} needs onnxruntime-gpu: pip install onnxruntime-gpu")
    import onnxruntime

    # from 1.24 on, providers may be libraries that are registered by their devices
    plugged = [device.ep_name for device in getattr(onnxruntime, "get_ep_devices", list)()]
    there, provider = list(dict.fromkeys([*onnxruntime.get_available_providers(), *plugged])), PROVIDERS[runtime]
    if device.startswith("cuda") and provider not in there:
        raise NoDevice(
            f"onnxruntime {onnxruntime.__version__} here has no {provider} (it has {', '.join(there)}): "
            "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        )


def gpu_target(
    device: str, asked: Mapping[str, str], batch: int, timeout_s: float, runtime: str = "torch", in_place: bool = False
) -> Target:
    """One GPU of this machine. asked: the fields `ASKED` of the agent's manifest

    in_place: whether blocks are also timed in networks; InputError for what the runtime cannot do, or does not do here
    """
    check_asked(runtime, asked)
    check_provider(runtime, device)
    waits_s = max(timeout_s, BUILD_S) if runtime == "tensorrt" else timeout_s

    def start(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
        with _turn(device):
            for event in local_agent([sys.executable, str(AGENT)], folder, manifest, waits_s):
                if isinstance(event, Hello) and (others := event.device.get("other_processes")):
                    shown = ", ".join(map(str, others))
                    print(f"warning: {device} is also used by process {shown}: times may be too long", file=sys.stderr)
                yield event

    header = {"agent": "cuda", "cuda_device": device, **asked}
    if asked["mode"] == "eager" and runtime == "torch":
        header["eager"] = "ATen operators called one by one from generated code: an nn.Module's own calls come on top"
    if device.startswith("cpu"):
        header |= {"emulated": "yes", "stand_in": "the CPU stood in a GPU's place, to test the command"}
    return Target(
        # providers take ONNX files, in the type that they compute in
        runtime="onnxruntime" if runtime in PROVIDERS else runtime,
        dtype="fp16" if runtime in PROVIDERS and asked["dtype"] == "fp16" else "fp32",
        batch=batch,
        manifest={"runtime": runtime, "device": device, **asked},
        start=start,
        header=header,
        pace=_pace(asked["mode"]),
        in_place=in_place,
    )


def _pace(mode: str) -> Pace:
    """How long a visit takes in a mode."""
    own = EAGER if mode == "eager" else {}
    return replace(
        PACE,
        rules={**PACE.rules, **own},
        quick={**PACE.quick, **own},
        whole={**PACE.whole, **own},
        in_place=replace(IN_PLACE, blocks={**PACE.quick, **own}),
    )


def target_of_header(header: Mapping[str, str], timeout_s: float) -> Target:
    """What a table of this command was measured on; NoDevice if it is not to be had here."""
    for key in ("cuda_device", "batch", *ASKED):
        if not header.get(key):
            raise InputError(f"the header has no '# {key}: ...' line")
    # of GPUs that agreed, the first
    device, runtime = header["cuda_device"].split(",")[0], header.get("runtime", "torch").split(" ")[0]
    found_devices(device, runtime)
    return gpu_target(device, {field: header[field] for field in ASKED}, int(header["batch"]), timeout_s, runtime)


@contextmanager
def _turn(device: str) -> Iterator[None]:
    """Waits until no other profiler of this user measures the GPU: two at a time would measure each other."""
    if device.startswith("cpu"):
        yield
        return
    path = Path(tempfile.gettempdir()) / f"ofa-latency-{system.user_id()}-{device.replace(':', '-')}.lock"
    handle = system.open_lock(path, 0o600)
    try:
        if not system.try_lock(handle):
            print(f"waiting: another profiler measures {device}", flush=True)
            system.wait_for_lock(handle)
        yield
    finally:
        os.close(handle)
