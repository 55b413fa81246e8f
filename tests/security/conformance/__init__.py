"""What every kind of sandbox that runs here must hold: `make containers`."""
