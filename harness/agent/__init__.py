"""One session of one CLI: process, stream, limits, watchdog."""
