"""From a folder of photographs to a network for this machine, command by command; `python -m ofa.quickstart`."""
