"""What happened in a session, turn by turn: one reading of the streams of all backends."""
