"""Supernets as a test wants them: fresh ones have statistics of 0 and 1 and plain kernels, which hide faults."""

import torch

from ofa.networks import Supernet, build_supernet
from ofa.space import SearchSpace


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
