"""Once-for-All: sub-networks, their costs, and the search for the best one under a latency limit."""

__version__ = "0.1.0"
