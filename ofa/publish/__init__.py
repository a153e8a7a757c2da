"""Publishing a supernet: the command `python -m ofa.publish`, and `publish_supernet` from Python."""
