"""Runs of several parts, each on a machine of a cluster: planned, submitted, watched, resumed and merged."""
