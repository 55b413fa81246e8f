"""From the records of two runs to a verdict: statistics, tests and the gate. Pure functions on plain data."""
