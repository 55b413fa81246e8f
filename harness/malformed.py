"""The exceptions for bytes that are not the expected JSON."""

import msgspec

MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError)
"""What `msgspec.json.decode` raises. A text that is not UTF-8 gets an error of Python's own."""
