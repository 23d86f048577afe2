"""Which code a run tested: commit, branch, pipeline, from whoever knows best.

Options, then a sidecar file, then the report itself, then the CI job's own environment.
"""

import re
from collections.abc import Iterable
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
