"""The commands of `exe`, one module each, and what they leave."""
