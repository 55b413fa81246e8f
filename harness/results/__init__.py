"""What is kept of a run: the record of a case and the file of records."""
