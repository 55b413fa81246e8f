"""What a terminal shows while cases run."""
