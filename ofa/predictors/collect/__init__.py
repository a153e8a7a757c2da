"""Measured accuracies of random sub-networks; `python -m ofa.predictors.collect`."""
