"""Finding the best sub-network: evolution under limits, the exact extremes, reports."""
