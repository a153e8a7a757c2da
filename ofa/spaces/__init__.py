"""`ofa space show`: a space in words, by its name or the file of its description."""
