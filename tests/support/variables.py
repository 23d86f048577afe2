"""The variables of the contract, and settings made of some of them."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import SettingsError
from pipelines.settings import Settings, load_settings
from pipelines.sources.postman.settings import PostmanSettings
from pipelines.sources.testmo.settings import TestmoSettings

# The contract's table: each variable, and its default as one would write it; blank: unset.
CONTRACT = """
TESTRUNS_WAREHOUSE_URL
TESTRUNS_HOME                 .testruns
TESTRUNS_REPORTS_DIR
POSTMAN_API_URL               https://api.getpostman.com
POSTMAN_API_KEY
POSTMAN_COLLECTION_IDS
POSTMAN_RUN_SOURCES
POSTMAN_REQUESTS_PER_MINUTE   300
POSTMAN_MONTHLY_RESERVE       0
TESTMO_API_URL
TESTMO_API_TOKEN
TESTMO_PROJECT_IDS
TESTMO_SOURCE_IDS
TESTMO_CONFIG_IDS
TESTMO_MILESTONE_IDS
TESTMO_CREATED_BY
TESTMO_TAGS
TESTMO_REQUESTS_PER_MINUTE    60
TESTMO_LOAD_TESTS             true
TESTRUNS_MAX_BODY_MB          128
TESTRUNS_LOOKBACK_HOURS       72
TESTRUNS_REDACT_PARAMS        access_token,api_key,apikey,auth,client_secret,password,\
refresh_token,secret,sig,signature,token
TESTRUNS_TIMEZONE             UTC
TESTRUNS_NIGHTLY_CRON         0 3 * * *
TESTRUNS_ALERT_WEBHOOK
TESTRUNS_OWNERSHIP_FILE
TESTRUNS_NAMES_FILE
TESTRUNS_DAGSTER_EXECUTOR     in_process
TESTRUNS_DAGSTER_LAUNCHER     local
TESTRUNS_DAGSTER_STORAGE_URL
TESTRUNS_DAGSTER_BROKER_URL
TESTRUNS_DAGSTER_URL
"""


VARIABLES = {
    line.split()[0]: line.partition(" ")[2].strip() for line in CONTRACT.strip().splitlines()
}


POSTMAN = {"POSTMAN_API_KEY": "PMAK-1", "POSTMAN_COLLECTION_IDS": "c1,1-c2"}
TESTMO = {
    "TESTMO_API_TOKEN": "token",
    "TESTMO_API_URL": "https://name.testmo.net/api/v1",
    "TESTMO_PROJECT_IDS": "1,2",
}


def load(folder: Path, **variables: str) -> Settings:
    return load_settings(variables, folder)


def value_of(settings: Settings, variable: str) -> Any:
    """What a variable has become."""
    for part in (settings, settings.dagster, *settings.sources.values()):
        for field in type(part).model_fields:
            if part.variable(field) == variable:
                return getattr(part, field)
    raise AssertionError(variable)


def of_postman(settings: Settings) -> PostmanSettings:
    section = settings.sources["postman"]
    assert isinstance(section, PostmanSettings)
    return section


def of_testmo(settings: Settings) -> TestmoSettings:
    section = settings.sources["testmo"]
    assert isinstance(section, TestmoSettings)
    return section


def complaints(folder: Path, **variables: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load_settings(variables, folder)
    return str(refused.value).splitlines()
