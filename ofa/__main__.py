"""`python -m ofa`: every command, in order; `python -m ofa search ...` is `ofa search ...`."""

from ofa.cli.overview import program

if __name__ == "__main__":
    program()
