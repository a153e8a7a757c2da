"""ONNX and TFLite files: what they take and give, and how their runtimes run them."""
