"""Small streams after public bug reports: `BACKEND/CASE/`, in the form of the corpus (see `test_field.py`)."""
