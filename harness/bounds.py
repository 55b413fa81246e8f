"""Types of the numbers and words that a configuration may hold."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
# The upper bounds refuse infinity, which JSON cannot tell.
Seconds = Annotated[float, Meta(gt=0, le=1e9)]
Positive = Annotated[float, Meta(gt=0, le=1e12)]
Dollars = Annotated[float, Meta(ge=0, le=1e12)]
Share = Annotated[float, Meta(ge=0, le=1)]
Words = Annotated[str, Meta(min_length=1)]
