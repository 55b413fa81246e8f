"""Which worker runs which case."""
