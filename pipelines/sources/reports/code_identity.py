"""Which code a run tested: commit, branch, pipeline, from whoever knows best.

Options, then a sidecar file, then the report itself, then the CI job's own environment.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

SIDECAR = "testruns-ci.json"
_LONGEST = 500


@dataclass(frozen=True)
class CodeIdentity:
    """What is known of the code and the pipeline; None: nothing.

    `merge_sha` is the commit that CI made of the branch and its target, where it tested that one.
    `provider`, `job` and `shard` tell the jobs of a pipeline apart. `code_digest` is of the tests
    themselves (a Postman collection).
    """

    commit_sha: str | None = None
    merge_sha: str | None = None
    branch: str | None = None
    pipeline_id: str | None = None
    pipeline_attempt: str | None = None
    build_url: str | None = None
    code_digest: str | None = None
    provider: str | None = None
    job: str | None = None
    shard: str | None = None

    def job_key(self) -> tuple[str | None, ...] | None:
        """What the files of one job share; None: the pipeline is not known."""
        if self.pipeline_id is None:
            return None
        return (self.provider, self.pipeline_id, self.pipeline_attempt, self.job, self.shard)


UNKNOWN_CODE = CodeIdentity()


def first_known(*identities: CodeIdentity) -> CodeIdentity:
    """Of each member the first that is known, but of commits and of pipelines as they belong.

    A branch or merge commit is not taken from where another commit stands, nor an attempt or a
    URL from another pipeline.
    """
    known = CodeIdentity()
    for other in identities:
        same_commit = known.commit_sha in (None, other.commit_sha) or other.commit_sha is None
        same_pipeline = known.pipeline_id in (None, other.pipeline_id) or other.pipeline_id is None
        values = {}
        for member in fields(CodeIdentity):
            name = member.name
            is_of_commit = name in ("commit_sha", "merge_sha", "branch")
            if not (same_commit if is_of_commit else same_pipeline or name == "code_digest"):
                continue
            if getattr(known, name) is None and getattr(other, name) is not None:
                values[name] = getattr(other, name)
        known = replace(known, **values)
    return known


# Names under which sidecars, JUnit properties and CTRF environments hold it.
_NAMES: dict[str, tuple[str, ...]] = {
    "commit_sha": (
        "commit", "commit_sha", "commitsha", "git.commit", "git.commit.id", "git_commit", "git.sha",
        "sha", "vcs.revision",
    ),
    "merge_sha": ("merge_sha", "mergesha", "merge_commit"),
    "branch": ("branch", "branchname", "git.branch", "git_branch", "ref"),
    "pipeline_id": ("pipeline_id", "pipelineid", "pipeline", "buildid", "build_id", "build.id"),
    "pipeline_attempt": ("pipeline_attempt", "pipelineattempt", "attempt", "run_attempt"),
    "build_url": ("build_url", "buildurl", "ci", "ci.url", "ci_url"),
    "code_digest": ("code_digest",),
    "provider": ("provider", "ci.provider"),
    "job": ("job", "job_name", "ci.job"),
    "shard": ("shard", "shardid", "shard_id"),
}  # fmt: skip
_MEMBERS = {name: member for member, names in _NAMES.items() for name in names}
_SHA = re.compile(r"[0-9a-fA-F]{6,64}\Z")


def is_code_property(name: str) -> bool:
    """Whether a property of this name says which code was tested."""
    return name.strip().lower() in _MEMBERS


def from_names(values: Iterable[tuple[str, Any]]) -> CodeIdentity:
    """From names and values as programs write them; what does not look right is left out."""
    known: dict[str, str] = {}
    for name, value in values:
        member = _MEMBERS.get(name.strip().lower())
        if member is None or member in known or not isinstance(value, str | int):
            continue
        if isinstance(value, bool) or not (text := str(value).strip()):
            continue
        known[member] = text
    return normalised(CodeIdentity(**known))


def from_sidecar(content: Any) -> CodeIdentity:
    """From the object in `testruns-ci.json`: the names above, or the CI's own variables."""
    if not isinstance(content, dict):
        return UNKNOWN_CODE
    variables = {key: value for key, value in content.items() if isinstance(value, str)}
    return first_known(from_names(content.items()), from_environment(variables, None))


def normalised(code: CodeIdentity) -> CodeIdentity:
    """Commits in lower case, refs as plain branches, URLs without user and password."""
    return CodeIdentity(
        commit_sha=_sha(code.commit_sha),
        merge_sha=_sha(code.merge_sha),
        branch=_branch(code.branch),
        pipeline_id=_text(code.pipeline_id),
        pipeline_attempt=_text(code.pipeline_attempt),
        build_url=_url(code.build_url),
        code_digest=_text(code.code_digest),
        provider=_text(code.provider),
        job=_text(code.job),
        shard=_text(code.shard),
    )


def _text(value: str | None) -> str | None:
    return value.replace("\0", "\ufffd")[:_LONGEST] if value and value.strip() else None


def _sha(value: str | None) -> str | None:
    # Buildkite says HEAD where nobody has looked the commit up.
    return value.strip().lower() if value and _SHA.match(value.strip()) else None


def _branch(value: str | None) -> str | None:
    if not value:
        return None
    branch = value.strip()
    for prefix in ("refs/heads/", "refs/tags/", "refs/remotes/", "refs/", "origin/"):
        branch = branch.removeprefix(prefix)
    return _text(branch)


def _url(value: str | None) -> str | None:
    if not value or "://" not in value:
        return None
    try:
        parts = urlsplit(value.strip())
    except ValueError:
        return None
    return _text(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))


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
    # On a pull request GITHUB_SHA is a merge commit that GitHub made and nobody will see again.
    sha = given.get("GITHUB_SHA")
    pull_request = event.get("pull_request")
    head = pull_request.get("head") if isinstance(pull_request, dict) else None
    head_sha = head.get("sha") if isinstance(head, dict) else None
    run_id, attempt = given.get("GITHUB_RUN_ID"), given.get("GITHUB_RUN_ATTEMPT")
    server, repository = given.get("GITHUB_SERVER_URL"), given.get("GITHUB_REPOSITORY")
    url = f"{server}/{repository}/actions/runs/{run_id}" if server and repository else None
    return CodeIdentity(
        commit_sha=head_sha if isinstance(head_sha, str) else sha,
        merge_sha=sha if isinstance(head_sha, str) and head_sha != sha else None,
        branch=given.get("GITHUB_HEAD_REF") or given.get("GITHUB_REF_NAME"),
        pipeline_id=run_id,
        pipeline_attempt=attempt,
        build_url=f"{url}/attempts/{attempt}" if url and attempt else url,
        provider="github",
        job=given.get("GITHUB_JOB"),
        # Jobs of one matrix share their name; this is another one for each.
        shard=given.get("RUNNER_TRACKING_ID"),
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
    return CodeIdentity(
        commit_sha=given.get("GIT_COMMIT"),
        branch=given.get("CHANGE_BRANCH") or given.get("GIT_BRANCH") or given.get("BRANCH_NAME"),
        pipeline_id=given.get("BUILD_TAG"),
        build_url=given.get("BUILD_URL"),
        provider="jenkins",
        job=given.get("STAGE_NAME"),
    )


def _azure(given: Mapping[str, str], _: Mapping[str, Any]) -> CodeIdentity:
    sha, head = given.get("BUILD_SOURCEVERSION"), given.get("SYSTEM_PULLREQUEST_SOURCECOMMITID")
    server, project = given.get("SYSTEM_TEAMFOUNDATIONSERVERURI"), given.get("SYSTEM_TEAMPROJECT")
    build_id = given.get("BUILD_BUILDID")
    url = f"{server.rstrip('/')}/{project}/_build/results?buildId={build_id}" if server else None
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
        branch=given.get("BITBUCKET_BRANCH"),
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
