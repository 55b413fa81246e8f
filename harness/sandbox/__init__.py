"""Ways of sealing a process in, and the probe that says what this machine can do."""
