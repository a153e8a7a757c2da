"""A trained network for other classes: a classifier that is drawn anew, and all other weights as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import overload

import torch

from ofa.networks.plain import PlainNetwork, build_plain
from ofa.networks.supernet import Supernet, build_supernet


@overload
def with_new_classifier(network: Supernet, classes: int, seed: int = 0) -> Supernet: ...
@overload
def with_new_classifier(network: PlainNetwork, classes: int, seed: int = 0) -> PlainNetwork: ...
def with_new_classifier(network: Supernet | PlainNetwork, classes: int, seed: int = 0) -> Supernet | PlainNetwork:
    """A network of so many classes with all weights and statistics of the given one but its classifier's.

    The classifier is drawn as that of a new network, by the seed alone: neither the caller's generator nor the given
    network is changed. The result is in training mode, on the CPU.
    """
    fresh: Supernet | PlainNetwork
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if isinstance(network, Supernet):
            fresh = build_supernet(replace(network.space, num_classes=classes), network.dropout, network.resolutions)
        else:
            name, block = network.spec.layers[-1]
            layers = (*network.spec.layers[:-1], (name, replace(block, out_channels=classes)))
            fresh = build_plain(replace(network.spec, layers=layers))
    classifier = [name for name, _ in network.named_children()][-1]
    kept = {key: value for key, value in network.state_dict().items() if not key.startswith(f"{classifier}.")}
    missing = fresh.load_state_dict(kept, strict=False)  # the new classifier keeps what was drawn
    assert not missing.unexpected_keys
    assert all(name.startswith(f"{classifier}.") for name in missing.missing_keys)
    return fresh
