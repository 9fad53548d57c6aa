"""What all models of the API share: the base, and the ranges of request fields."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

API_VERSION = "evse/v1"

# Ranges of request fields: refused with 422 by the server, in the OpenAPI document, never checked in answers.
EvseId = Annotated[int, Meta(ge=1, le=48)]
EvseIdOrAll = Annotated[int, Meta(ge=0, le=48)]
PageLimit = Annotated[int, Meta(ge=1, le=1000)]
PageOffset = Annotated[int, Meta(ge=0, le=100_000_000)]
ShortText = Annotated[str, Meta(max_length=128)]
LimitW = Annotated[int, Meta(ge=0, le=10_000_000)]
Secret = Annotated[str, Meta(max_length=64)]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all models."""
