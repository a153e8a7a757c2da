"""What goes wrong because of the caller's input, as opposed to a fault of ours.

Command-line tools print these without a traceback and exit with `exit_code`.
"""


class InputError(ValueError):
    """A file, field, name or flag is wrong; the message names it and the way out."""

    exit_code = 2


class Infeasible(InputError):
    """No sub-network can meet the limit; the message says what the best possible is."""


class NoDevice(InputError):
    """The device that was asked for is not to be had here; the message says what can be done instead."""


class UsageError(InputError):
    """A command's options, or a config's fields, are wrong."""
