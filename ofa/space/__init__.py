"""What a sub-network is: search spaces, sub-networks as values, batches of them as matrices.

`ofa.space.mit_format` reads and writes the original implementation's architectures.
"""

from ofa.space.families import get_space, space_file
from ofa.space.parts import FirstBlock, Head, Stem, Unit, make_divisible
from ofa.space.resolutions import RESOLUTIONS, checked_resolution, checked_resolutions
from ofa.space.space import Genes, SearchSpace, resolutions_in
from ofa.space.subnet import Subnet

__all__ = [
    "RESOLUTIONS",
    "FirstBlock",
    "Genes",
    "Head",
    "SearchSpace",
    "Stem",
    "Subnet",
    "Unit",
    "checked_resolution",
    "checked_resolutions",
    "get_space",
    "make_divisible",
    "resolutions_in",
    "space_file",
]
