"""The parts of training: what a batch, a step and an epoch do."""
