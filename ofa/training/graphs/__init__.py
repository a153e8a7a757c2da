"""Training steps that replay CUDA graphs: a GPU is told a block at a time what to do, not an operator at a time."""
