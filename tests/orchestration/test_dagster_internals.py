"""What is used of Dagster without being public: which of it an upgrade has broken."""

import dagster as dg
import pytest
from dagster._core.events import RunFailureReason
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.storage import tags

from pipelines.orchestration import dagster_internals as ours


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("SCHEDULE_NAME_TAG", tags.SCHEDULE_NAME_TAG),
        ("WILL_RETRY_TAG", tags.WILL_RETRY_TAG),
        ("RETRY_ON_STEP_FAILURE_TAG", tags.RETRY_ON_ASSET_OR_OP_FAILURE_TAG),
    ],
)
def test_dagster_calls_its_tags_as_we_do(name: str, theirs: str) -> None:
    assert getattr(ours, name) == theirs, f"Dagster has renamed the tag {getattr(ours, name)}"


def test_a_run_of_ours_is_labelled_as_one_of_the_code_location() -> None:
    (tag,) = ours.CODE_LOCATION_TAGS
    assert tag == tags.REPOSITORY_LABEL_TAG
    assert hasattr(RemoteRepositoryOrigin, "get_label")


def test_dagster_still_calls_an_interruption_as_we_do() -> None:
    assert RunFailureReason.UNEXPECTED_TERMINATION.value == "UNEXPECTED_TERMINATION"


def test_the_last_word_of_a_check_is_that_of_an_earlier_run() -> None:
    @dg.asset
    def table() -> None: ...

    @dg.asset_check(asset=table)
    def check() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)

    key = dg.AssetCheckKey(table.key, "check")
    definitions = dg.Definitions(assets=[table], asset_checks=[check])
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.instance_for_test() as instance:
        assert list(ours.last_evaluations(instance, [key])) == []
        job.execute_in_process(instance=instance)
        (evaluation,) = ours.last_evaluations(instance, [key])
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
