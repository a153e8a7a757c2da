"""`python -m profilers`: every command, in order."""

from ofa.cli.overview import program

if __name__ == "__main__":
    program()
