"""Files from addresses that nobody here chose: checked, bounded, without a key in any text."""
