"""`direct`, a baseline: one completion without tools. `adapter` configures it, and `program` asks the model."""

from backends.direct.adapter import BACKEND

__all__ = ["BACKEND"]
