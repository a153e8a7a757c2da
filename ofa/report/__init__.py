"""One page to show: what was found, how sure it is, and where it comes from."""
