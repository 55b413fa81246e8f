"""What `proctor setup` installs: one module for each way of installing."""
