"""The command line: how a command is made from its config, and how it ends."""
