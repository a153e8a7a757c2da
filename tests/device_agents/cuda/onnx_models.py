"""ONNX models for the GPU agent, the agent itself on the CPU, and a GPU that is none."""

from pathlib import Path

from device_agents.cuda.agent import prepared
from device_agents.cuda.device import Cuda
from device_agents.cuda.nvml import Nvml
from device_agents.cuda.onnx_session import Provider
from device_agents.cuda.onnx_visits import OnnxAgent
from ofa.graph import network_graph
from ofa.graph.onnx import write_onnx
from tests.device_agents.cuda.manifests import BLOCK, manifest_of
from tests.helpers.chains import SameByShape

CUDA = Provider("CUDAExecutionProvider", {"device_id": "0"}, "cuda", 0)
ONNX = {"runtime": "onnxruntime-cuda", "memory_format": "contiguous", "inputs": "warm"}
NO_NVML = Nvml(None, "", "none")


def write(folder: Path, name: str, chain: tuple = (BLOCK,), *, half: bool = False) -> Path:
    (folder / f"{name}.onnx").write_bytes(write_onnx(network_graph(chain, batch=2, weights=SameByShape()), half=half))
    return folder / f"{name}.onnx"


def agent_of(folder: Path = Path(), **changes: object) -> OnnxAgent:
    agent = prepared(manifest_of(**{**ONNX, **changes}), folder)
    assert isinstance(agent, OnnxAgent)
    return agent


def fake_cuda(stream: int = 77) -> Cuda:
    cuda = object.__new__(Cuda)
    cuda.stream, cuda.held_cycles, cuda.l2_bytes = stream, 0, 0
    return cuda
