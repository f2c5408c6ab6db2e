"""What all parts of a study's settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of the settings: unknown keys are refused, values can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
