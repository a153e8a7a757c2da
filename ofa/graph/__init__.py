"""What a block computes, as a graph, and its writers: what was timed is what ships.

Profilers write the graph of a single block, exports that of a whole network. The writers are modules of their own
(`ofa.graph.onnx`, `.tflite`, `.torch`): each needs its own packages.
"""

from ofa.graph.graph import (
    Array,
    Graph,
    Node,
    RandomWeights,
    Shape,
    Weights,
    block_graph,
    network_graph,
)

__all__ = ["Array", "Graph", "Node", "RandomWeights", "Shape", "Weights", "block_graph", "network_graph"]
