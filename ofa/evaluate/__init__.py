"""Accuracy of networks on images; `python -m ofa.evaluate`."""
