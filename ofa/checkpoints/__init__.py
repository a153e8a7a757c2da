"""Files of trained networks, opened: the network, its sub-networks, and images that fit it."""
