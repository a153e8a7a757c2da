"""What a model file takes and gives, where that is not float32 of a fixed batch."""
