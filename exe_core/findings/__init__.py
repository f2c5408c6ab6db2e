"""What the paper asks, and how its answers are computed."""
