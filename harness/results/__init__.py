"""What a run keeps: the record of each case, and the file of records."""
