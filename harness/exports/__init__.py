"""The results of a run in the forms that other tools read."""
