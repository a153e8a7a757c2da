"""Every format by what it is of: sound files, readers, and what someone could make of them."""
