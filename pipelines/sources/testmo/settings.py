"""The settings of Testmo."""

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from pipelines.sources.settings import ApiKey, Numbers, SourceSettings, Texts, distinct


def _project_ids(value: tuple[str, ...]) -> tuple[str, ...]:
    for item in value:
        if not re.fullmatch(r"0*[1-9][0-9]{0,17}", item):
            raise ValueError(f"{item[:80]!r} is no project ID")
    return distinct(tuple(item.lstrip("0") for item in value))


class TestmoSettings(SourceSettings):
    """Which projects are loaded; a filter that is empty hides no run."""

    __test__ = False  # pytest would otherwise collect a class of this name
    prefix: ClassVar[str] = "testmo_"

    key: ApiKey | None = Field(None, alias="api_token")
    scopes: Annotated[Texts, AfterValidator(_project_ids)] = Field((), alias="project_ids")
    source_ids: Numbers = ()
    config_ids: Numbers = ()
    milestone_ids: Numbers = ()
    created_by: Numbers = ()
    tags: Texts = ()
    # Whether the test results of each run are loaded.
    load_tests: bool = True


SETTINGS = TestmoSettings
