"""What every part of the configuration shares: frozen, unknown keys refused; types of its values."""

import zoneinfo
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _time_zone(name: str) -> str:
    if name not in zoneinfo.available_timezones():
        raise ValueError(f"{name!r} is no time zone of the IANA database; write e.g. America/New_York or UTC")
    return name


TimeZone = Annotated[str, AfterValidator(_time_zone)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """Base of every part of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")
