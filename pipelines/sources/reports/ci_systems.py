"""What seven CI systems say of the code that a job tests, each with its traps."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pipelines.sources.reports.code_identity import (
    UNKNOWN_CODE,
    CodeIdentity,
    first_known,
    from_names,
    normalised,
)
from pipelines.sources.reports.values import as_text, member


def from_sidecar(content: Any) -> CodeIdentity:
    """From the object in `testruns-ci.json`: the names above, or the CI's own variables."""
    if not isinstance(content, dict):
        return UNKNOWN_CODE
    variables = {key: value for key, value in content.items() if isinstance(value, str)}
    return first_known(from_names(content.items()), from_environment(variables, None))


def from_environment(variables: Mapping[str, str], event: Mapping[str, Any] | None) -> CodeIdentity:
    """From the variables of a CI job; `event` is the JSON of GITHUB_EVENT_PATH, None: not read.

    Nothing is known outside the seven systems.
    """
    given = {name: value for name, value in variables.items() if value}
    for is_there, read in _PROVIDERS:
        if is_there in given:
            return normalised(read(given, event or {}))
    return UNKNOWN_CODE


def _github(given: Mapping[str, str], event: Mapping[str, Any]) -> CodeIdentity:
    if given.get("GITHUB_EVENT_NAME") == "workflow_run":
        return _github_artifacts(event)
    sha, head_sha = given.get("GITHUB_SHA"), as_text(member(event, "pull_request", "head", "sha"))
    # On a pull request GITHUB_SHA is a merge commit that GitHub made and nobody will see again;
    # on pull_request_target it is the target's.
    is_merge = head_sha != sha and given.get("GITHUB_EVENT_NAME") != "pull_request_target"
    run_id, attempt = given.get("GITHUB_RUN_ID"), given.get("GITHUB_RUN_ATTEMPT")
    server, repository = given.get("GITHUB_SERVER_URL"), given.get("GITHUB_REPOSITORY")
    url = f"{server}/{repository}/actions/runs/{run_id}" if server and repository else None
    return CodeIdentity(
        commit_sha=head_sha or sha,
        merge_sha=sha if head_sha and is_merge else None,
        branch=given.get("GITHUB_HEAD_REF") or given.get("GITHUB_REF_NAME"),
        pipeline_id=run_id,
        pipeline_attempt=attempt,
        build_url=f"{url}/attempts/{attempt}" if url and attempt else url,
        provider="github",
        job=given.get("GITHUB_JOB"),
        # Jobs of one matrix share their name; this is another one for each.
        shard=given.get("RUNNER_TRACKING_ID"),
    )


def _github_artifacts(event: Mapping[str, Any]) -> CodeIdentity:
    """What another workflow tested, whose end has started this one to import its artifacts."""
    names = ("head_sha", "head_branch", "id", "run_attempt", "html_url")
    values = (as_text(member(event, "workflow_run", name)) for name in names)
    sha, branch, run_id, attempt, url = values
    return CodeIdentity(
        commit_sha=sha,
        branch=branch,
        pipeline_id=run_id,
        pipeline_attempt=attempt,
        build_url=url,
        provider="github",
    )


def _gitlab(given: Mapping[str, str], _: Mapping[str, Any]) -> CodeIdentity:
    # In a pipeline of merged results CI_COMMIT_SHA is the merge.
    sha, head = given.get("CI_COMMIT_SHA"), given.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA")
    return CodeIdentity(
        commit_sha=head or sha,
        merge_sha=sha if head and head != sha else None,
        branch=given.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME") or given.get("CI_COMMIT_REF_NAME"),
        pipeline_id=given.get("CI_PIPELINE_ID"),
        pipeline_attempt=given.get("CI_JOB_ID"),  # another one for each retry
        build_url=given.get("CI_PIPELINE_URL"),
        provider="gitlab",
        job=given.get("CI_JOB_NAME"),
        shard=given.get("CI_NODE_INDEX"),
    )


def _jenkins(given: Mapping[str, str], _: Mapping[str, Any]) -> CodeIdentity:
    # Plug-ins that check out the merge of a pull request name its head beside it.
    sha = given.get("GIT_COMMIT")
    heads = ("ghprbActualCommit", "GITHUB_PR_HEAD_SHA", "gitlabMergeRequestLastCommit")
    head = next((given[name] for name in heads if name in given), None)
    return CodeIdentity(
        commit_sha=head or sha,
        merge_sha=sha if head and head != sha else None,
        branch=given.get("CHANGE_BRANCH") or given.get("GIT_BRANCH") or given.get("BRANCH_NAME"),
        pipeline_id=given.get("BUILD_TAG"),
        build_url=given.get("BUILD_URL"),
        provider="jenkins",
        job=given.get("STAGE_NAME"),
    )


def _azure(given: Mapping[str, str], _: Mapping[str, Any]) -> CodeIdentity:
    sha, head = given.get("BUILD_SOURCEVERSION"), given.get("SYSTEM_PULLREQUEST_SOURCECOMMITID")
    server = given.get("SYSTEM_TEAMFOUNDATIONSERVERURI") or given.get("SYSTEM_COLLECTIONURI")
    project, build_id = given.get("SYSTEM_TEAMPROJECT"), given.get("BUILD_BUILDID")
    url = None
    if server and project:
        url = f"{server.rstrip('/')}/{quote(project)}/_build/results?buildId={build_id}"
    return CodeIdentity(
        commit_sha=head or sha,
        merge_sha=sha if head and head != sha else None,
        branch=given.get("SYSTEM_PULLREQUEST_SOURCEBRANCH") or given.get("BUILD_SOURCEBRANCH"),
        pipeline_id=build_id,
        pipeline_attempt=given.get("SYSTEM_JOBATTEMPT"),
        build_url=url,
        provider="azure",
        job=given.get("SYSTEM_JOBNAME"),
        shard=given.get("SYSTEM_JOBPOSITIONINPHASE"),
    )


def _bitbucket(given: Mapping[str, str], _: Mapping[str, Any]) -> CodeIdentity:
    origin, number = given.get("BITBUCKET_GIT_HTTP_ORIGIN"), given.get("BITBUCKET_BUILD_NUMBER")
    return CodeIdentity(
        commit_sha=given.get("BITBUCKET_COMMIT"),
        branch=given.get("BITBUCKET_BRANCH") or given.get("BITBUCKET_TAG"),
        pipeline_id=given.get("BITBUCKET_PIPELINE_UUID", "").strip("{}") or number,
        pipeline_attempt=given.get("BITBUCKET_STEP_RUN_NUMBER"),
        build_url=f"{origin}/pipelines/results/{number}" if origin and number else None,
        provider="bitbucket",
        job=given.get("BITBUCKET_STEP_UUID", "").strip("{}") or None,
        shard=given.get("BITBUCKET_PARALLEL_STEP"),
    )


def _circleci(given: Mapping[str, str], _: Mapping[str, Any]) -> CodeIdentity:
    workflow = given.get("CIRCLE_WORKFLOW_ID")
    return CodeIdentity(
        commit_sha=given.get("CIRCLE_SHA1"),
        branch=given.get("CIRCLE_BRANCH") or given.get("CIRCLE_TAG"),
        pipeline_id=workflow,  # another one for each rerun
        build_url=workflow and f"https://app.circleci.com/pipelines/workflows/{workflow}",
        provider="circleci",
        job=given.get("CIRCLE_JOB"),
        shard=given.get("CIRCLE_NODE_INDEX"),
    )


def _buildkite(given: Mapping[str, str], _: Mapping[str, Any]) -> CodeIdentity:
    url, job_id = given.get("BUILDKITE_BUILD_URL"), given.get("BUILDKITE_JOB_ID")
    return CodeIdentity(
        commit_sha=given.get("BUILDKITE_COMMIT"),
        branch=given.get("BUILDKITE_BRANCH"),
        pipeline_id=given.get("BUILDKITE_BUILD_ID"),
        pipeline_attempt=given.get("BUILDKITE_RETRY_COUNT"),
        build_url=f"{url}#{job_id}" if url and job_id else url,
        provider="buildkite",
        job=given.get("BUILDKITE_STEP_KEY") or given.get("BUILDKITE_LABEL"),
        shard=given.get("BUILDKITE_PARALLEL_JOB"),
    )


_PROVIDERS = (
    ("GITHUB_ACTIONS", _github),
    ("GITLAB_CI", _gitlab),
    ("TF_BUILD", _azure),
    ("BITBUCKET_COMMIT", _bitbucket),
    ("CIRCLECI", _circleci),
    ("BUILDKITE", _buildkite),
    # Last: agents of others may run inside Jenkins.
    ("JENKINS_URL", _jenkins),
)
