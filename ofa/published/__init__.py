"""Published networks as blocks, and the accuracies that were published of them: what a found network is compared with.

blocks = get_published("mobilenet_v2").blocks(224)
"""

from ofa.published.accuracies import PublishedTop1, published_resolutions, published_top1
from ofa.published.more import NAMED, get_published
from ofa.published.network import PublishedNetwork
from ofa.published.networks import PUBLISHED

__all__ = [
    "NAMED",
    "PUBLISHED",
    "PublishedNetwork",
    "PublishedTop1",
    "get_published",
    "published_resolutions",
    "published_top1",
]
