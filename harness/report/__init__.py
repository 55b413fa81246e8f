"""Reports that people read after a run."""
