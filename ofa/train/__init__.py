"""Training a supernet: the command. What trains is in `ofa.training`."""
