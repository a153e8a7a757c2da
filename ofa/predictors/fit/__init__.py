"""Fitting an accuracy predictor: the command `python -m ofa.predictors.fit`, and `fit_predictor` from Python."""
