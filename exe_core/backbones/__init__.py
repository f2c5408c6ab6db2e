"""Networks for faces, and the weights that they start from."""
