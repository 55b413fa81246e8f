"""The page: one HTML file that shows runs, cases and transcripts, without a server or a network."""
