"""What a sub-network is: search spaces, sub-networks as values, batches of them as matrices.

`ofa.space.mit_format` reads and writes the original implementation's architectures.
"""

from ofa.space.families import RESOLUTIONS, get_space, make_divisible
from ofa.space.space import Genes, SearchSpace, Subnet, Unit

__all__ = ["RESOLUTIONS", "Genes", "SearchSpace", "Subnet", "Unit", "get_space", "make_divisible"]
