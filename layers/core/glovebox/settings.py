"""A function's settings: read once, at the edge, into a frozen model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from glovebox.domain.errors import SettingsError


class Settings(BaseModel):
    """Base of every function's settings. A field's alias is its environment variable."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings. Raises SettingsError that names all missing ones at once."""
        try:
            return cls.model_validate(dict(environment))
        except ValidationError as error:
            raise SettingsError([str(e["loc"][0]) for e in error.errors()]) from None
