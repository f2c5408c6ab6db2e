"""From an image to the crop of a face."""
