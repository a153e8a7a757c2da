"""Sound values that formats share, and what is sound of what their readers return."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np

from ofa.space import Subnet, get_space

SPACE = get_space("mbv3-w0.35")
TINY = "mbv3-w0.05"  # of supernets and networks that are only read
SUBNET = SPACE.decode(SPACE.sample(np.random.default_rng(1), 1, resolutions=[64]))[0]


IMAGES = {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "classes": ["a", "b"], "marks": ["m"]}


def tiny_network(num_classes: int = 2) -> Any:
    import torch

    from ofa.networks import build_supernet, extract

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build_supernet(get_space(TINY, num_classes), 0.1, [64])
        return net, extract(net, get_space(TINY).decode(get_space(TINY).sample(np.random.default_rng(0), 1))[0])


def image_facts() -> Any:
    from ofa.images.facts import ImageFacts

    return ImageFacts.from_dict(IMAGES, "test")


def sound_subnet(subnet: Subnet) -> None:
    assert 32 <= subnet.resolution <= 1024
    assert set(subnet.kernel_sizes) <= {0, 3, 5, 7}
    assert set(map(type, (*subnet.depths, *subnet.kernel_sizes, subnet.resolution))) <= {int}


def sound_images(facts: Any) -> None:
    if facts is not None:
        assert all(0 < s <= 1e6 for s in facts.std)
        assert all(isinstance(name, str) for name in facts.classes)
        assert facts.resolution is None or 1 <= facts.resolution <= 4096
        assert facts.smallest_crop is None or 0 < facts.smallest_crop <= 1


@cache
def picture() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.arange(40 * 40 * 3, dtype=np.uint8).reshape(40, 40, 3)).save(file, "PNG")
    return file.getvalue()
