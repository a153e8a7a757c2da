"""Drawings of a report, as Vega specifications."""
