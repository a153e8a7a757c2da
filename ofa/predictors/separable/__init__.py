"""Accuracy as a table: scores that add up over units, bent by one monotone curve."""
