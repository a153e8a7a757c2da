"""Finding the best sub-network: evolution under limits, reports."""
