"""What serves the model of a case."""
