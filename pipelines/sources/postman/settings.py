"""The settings of Postman."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pipelines.sources.settings import (
    ApiKey,
    ApiRoot,
    PerMinute,
    SourceSettings,
    Texts,
    distinct,
    items,
)


def _collection_ids(value: tuple[str, ...]) -> tuple[str, ...]:
    for item in value:
        if not re.fullmatch(r"[\w-][\w.-]*", item, re.ASCII):
            raise ValueError(f"{item!r} is no collection ID or UID")
    return value


Trigger = Literal["collection_runner", "monitor", "webhook", "schedule", "api", "newman"]
Triggers = Annotated[tuple[Trigger, ...], BeforeValidator(items), AfterValidator(distinct)]


class PostmanSettings(SourceSettings):
    """Which collections are loaded; `run_sources` empty: runs of every source."""

    prefix: ClassVar[str] = "postman_"

    key: ApiKey | None = Field(None, alias="api_key")
    api_url: ApiRoot | None = "https://api.getpostman.com"
    scopes: Annotated[Texts, AfterValidator(_collection_ids)] = Field((), alias="collection_ids")
    run_sources: Triggers = ()
    requests_per_minute: PerMinute = 300
    monthly_reserve: Annotated[int, Field(ge=0)] = 0

    @property
    def reserve(self) -> int:
        """Requests of a month's budget that are left to others."""
        return self.monthly_reserve

    @property
    def reserve_setting(self) -> str:
        """The variable of the reserve."""
        return self.variable("monthly_reserve")


SETTINGS = PostmanSettings
