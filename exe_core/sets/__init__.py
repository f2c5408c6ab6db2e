"""Data sets of faces: how each is laid out, had, checked and compared."""
