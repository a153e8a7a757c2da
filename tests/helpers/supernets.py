"""Supernets as a test wants them: fresh ones have statistics of 0 and 1 and plain kernels, which hide faults; and what
is the same of a trained network by every way that computes it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from ofa.checkpoints.weights import load_checkpoint, load_network, save_checkpoint, save_network
from ofa.export.folding import trained_graph
from ofa.graph import Graph
from ofa.graph.onnx import write_onnx
from ofa.networks import Supernet, build_supernet, calibrate_bn, extract
from ofa.networks.plain import PlainNetwork
from ofa.space import SearchSpace, Subnet

# a small space of one's own, for tests that state nothing of a network's size
TINY = Path(__file__).with_name("tiny.toml")


def lively(space: SearchSpace) -> Supernet:
    """A supernet whose every tensor matters: random statistics, biases and kernel matrices; in evaluation mode."""
    torch.manual_seed(0)
    net = build_supernet(space, dropout=0.0).eval()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name.endswith(("running_var", "bn.weight")):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.1)
            elif ".matrices." in name:
                tensor.add_(torch.randn_like(tensor) * 0.05)
    return net


def close(y: np.ndarray | torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    assert y.shape == expected.shape
    assert float(np.abs(np.asarray(y) - expected.numpy()).max()) < tolerance * float(expected.abs().max())


def run_onnx(graph: Graph, x: torch.Tensor) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(write_onnx(graph), options, providers=["CPUExecutionProvider"])
    return session.run(["output"], {"input": x.numpy()})[0]


def trained_and_the_same(
    net: Supernet, subnet: Subnet, x: torch.Tensor, shown: torch.Tensor, folder: Path
) -> PlainNetwork:
    """The sub-network, calibrated and extracted: the same from its file, in its supernet's file, folded and exported.

    x: (N, 3, R, R) images to compute; shown: those that calibrate; folder: where files are left
    """
    network = extract(net, subnet, calibrate_bn(net, subnet, [shown]))
    save_network(network, folder)
    save_checkpoint(net, folder / "net.safetensors")
    again = build_supernet(net.space)
    load_checkpoint(again, folder / "net.safetensors")
    with torch.no_grad():
        expected = network(x)
        close(load_network(folder)(x), expected)
        close(again.eval()(x, subnet), net(x, subnet))
    close(run_onnx(trained_graph(network, batch=len(x)), x), expected)
    return network
