"""The pull: searches, photos, their labels, and what became of them."""
