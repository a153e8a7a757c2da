"""Classes of photographs, by an exported model; `python -m ofa.predict`. Loads no torch."""
