"""From the configuration to the cases of a run."""
