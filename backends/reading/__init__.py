"""What several backends share to read a stream."""
