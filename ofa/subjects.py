"""Where open_supernet stood before it moved to ofa.checkpoints; goes with the last import of it."""

from ofa.checkpoints.opening import open_supernet as open_supernet
