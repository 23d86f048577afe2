"""The vars of the dbt project, for the sentences that say how a figure is computed."""

from typing import Any

import yaml

from pipelines.resources import bundled

Thresholds = dict[str, Any]


def read_thresholds() -> Thresholds:
    """Every var of dbt_project.yml by name, as the marts are built with it."""
    text = (bundled("dbt_project") / "dbt_project.yml").read_text(encoding="utf-8")
    thresholds: Thresholds = yaml.safe_load(text)["vars"]
    return thresholds
