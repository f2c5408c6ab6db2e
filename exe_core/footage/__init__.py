"""From the file of a film to its faces in time."""
