"""Commit, branch and pipeline, out of seven CI systems and whatever else says them."""

import pytest

from pipelines.sources.reports.ci_systems import from_environment, from_sidecar
from pipelines.sources.reports.code_identity import CodeIdentity, first_known, from_names

HEAD, MERGE = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("variables", "event", "expected"),
    [
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_SHA": MERGE, "GITHUB_HEAD_REF": "fix",
             "GITHUB_REF_NAME": "7/merge", "GITHUB_RUN_ID": "11", "GITHUB_RUN_ATTEMPT": "2",
             "GITHUB_SERVER_URL": "https://gh.example.test", "GITHUB_REPOSITORY": "acme/shop",
             "GITHUB_JOB": "api"},
            {"pull_request": {"head": {"sha": HEAD}}},
            (HEAD, MERGE, "fix", "11", "2",
             "https://gh.example.test/acme/shop/actions/runs/11/attempts/2"),
        ),
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_SHA": HEAD, "GITHUB_HEAD_REF": "",
             "GITHUB_REF_NAME": "main", "GITHUB_RUN_ID": "11"},
            {"pull_request": None},
            (HEAD, None, "main", "11", None, None),
        ),
        # On pull_request_target GITHUB_SHA is the target's own commit, and no merge.
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_SHA": MERGE, "GITHUB_HEAD_REF": "fix",
             "GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_RUN_ID": "11"},
            {"pull_request": {"head": {"sha": HEAD}}},
            (HEAD, None, "fix", "11", None, None),
        ),
        # A workflow that imports the artifacts of another one, which tested another commit.
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_SHA": MERGE, "GITHUB_REF_NAME": "main",
             "GITHUB_EVENT_NAME": "workflow_run", "GITHUB_RUN_ID": "12", "GITHUB_JOB": "import"},
            {"workflow_run": {"id": 11, "run_attempt": 2, "head_sha": HEAD, "head_branch": "fix",
                              "html_url": "https://gh.example.test/acme/shop/actions/runs/11"}},
            (HEAD, None, "fix", "11", "2", "https://gh.example.test/acme/shop/actions/runs/11"),
        ),
        (
            {"GITLAB_CI": "true", "CI_COMMIT_SHA": MERGE, "CI_COMMIT_REF_NAME": "refs/merge/1",
             "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": HEAD, "CI_PIPELINE_ID": "5", "CI_JOB_ID": "6",
             "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "fix",
             "CI_PIPELINE_URL": "https://gl.example.test/p/5",
             "CI_REPOSITORY_URL": "https://gitlab-ci-token:secret@gl.example.test/p.git"},
            None,
            (HEAD, MERGE, "fix", "5", "6", "https://gl.example.test/p/5"),
        ),
        (
            {"JENKINS_URL": "https://j", "GIT_COMMIT": HEAD, "GIT_BRANCH": "origin/main",
             "BUILD_TAG": "jenkins-shop-9", "BUILD_URL": "https://u:p@j.example.test/9/"},
            None,
            (HEAD, None, "main", "jenkins-shop-9", None, "https://j.example.test/9/"),
        ),
        # The plug-ins that build pull requests check out a merge, and name the head beside it.
        (
            {"JENKINS_URL": "https://j", "GIT_COMMIT": MERGE, "ghprbActualCommit": HEAD,
             "CHANGE_BRANCH": "fix", "GIT_BRANCH": "PR-7", "BUILD_TAG": "t"},
            None,
            (HEAD, MERGE, "fix", "t", None, None),
        ),
        (
            {"JENKINS_URL": "https://j", "BUILD_TAG": "t"},
            None,
            (None, None, None, "t", None, None),
        ),
        (
            {"TF_BUILD": "True", "BUILD_SOURCEVERSION": MERGE, "BUILD_BUILDID": "8",
             "SYSTEM_PULLREQUEST_SOURCECOMMITID": HEAD, "SYSTEM_JOBATTEMPT": "1",
             "SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/fix", "SYSTEM_TEAMPROJECT": "shop",
             "SYSTEM_TEAMFOUNDATIONSERVERURI": "https://az.example.test/acme/"},
            None,
            (HEAD, MERGE, "fix", "8", "1",
             "https://az.example.test/acme/shop/_build/results?buildId=8"),
        ),
        (
            {"TF_BUILD": "True", "BUILD_SOURCEVERSION": HEAD, "BUILD_BUILDID": "8",
             "BUILD_SOURCEBRANCH": "refs/heads/main", "SYSTEM_TEAMPROJECT": "web shop",
             "SYSTEM_COLLECTIONURI": "https://az.example.test/acme/"},
            None,
            (HEAD, None, "main", "8", None,
             "https://az.example.test/acme/web%20shop/_build/results?buildId=8"),
        ),
        (
            {"BITBUCKET_COMMIT": "abc1234", "BITBUCKET_TAG": "v1", "BITBUCKET_BUILD_NUMBER": "4",
             "BITBUCKET_GIT_HTTP_ORIGIN": "https://bb.example.test/acme/shop"},
            None,
            ("abc1234", None, "v1", "4", None,
             "https://bb.example.test/acme/shop/pipelines/results/4"),
        ),
        (
            {"BITBUCKET_COMMIT": "abc1234", "BITBUCKET_BRANCH": "main",
             "BITBUCKET_PIPELINE_UUID": "{1-2}", "BITBUCKET_STEP_RUN_NUMBER": "3"},
            None,
            ("abc1234", None, "main", "1-2", "3", None),
        ),
        (
            {"CIRCLECI": "true", "CIRCLE_SHA1": HEAD, "CIRCLE_BRANCH": "pull/7",
             "CIRCLE_WORKFLOW_ID": "w"},
            None,
            (HEAD, None, "pull/7", "w", None, "https://app.circleci.com/pipelines/workflows/w"),
        ),
        (
            {"BUILDKITE": "true", "BUILDKITE_COMMIT": "HEAD", "BUILDKITE_BRANCH": "main",
             "BUILDKITE_BUILD_ID": "b", "BUILDKITE_RETRY_COUNT": "0", "BUILDKITE_JOB_ID": "j",
             "BUILDKITE_BUILD_URL": "https://bk.example.test/1"},
            None,
            (None, None, "main", "b", "0", "https://bk.example.test/1#j"),
        ),
        ({"HOME": "/root", "GIT_COMMIT": HEAD}, None, (None, None, None, None, None, None)),
    ],
)  # fmt: skip
def test_each_system_has_its_traps(
    variables: dict[str, str], event: dict[str, object] | None, expected: tuple[str | None, ...]
) -> None:
    code = from_environment(variables, event)

    assert (
        code.commit_sha, code.merge_sha, code.branch, code.pipeline_id, code.pipeline_attempt,
        code.build_url,
    ) == expected  # fmt: skip
    assert "secret" not in repr(code)


def test_the_first_that_knows_is_believed() -> None:
    option = CodeIdentity(commit_sha=HEAD)
    file = CodeIdentity(branch="main", pipeline_id="1")

    assert first_known(option, file) == CodeIdentity(
        commit_sha=HEAD, branch="main", pipeline_id="1"
    )


def test_a_branch_is_not_taken_from_another_commit_nor_an_attempt_from_another_pipeline() -> None:
    option = CodeIdentity(commit_sha=HEAD, pipeline_id="1")
    job = CodeIdentity(
        commit_sha=MERGE, branch="main", pipeline_id="2", pipeline_attempt="3", code_digest="d"
    )

    assert first_known(option, job) == CodeIdentity(
        commit_sha=HEAD, pipeline_id="1", code_digest="d"
    )


def test_names_are_read_as_programs_write_them() -> None:
    code = from_names([
        ("Git.Commit", f" {HEAD.upper()} "), ("commit", MERGE), ("sha", ""), ("branch", True),
        ("buildId", 12), ("ci", "true"), ("password", "secret"),
    ])  # fmt: skip

    assert code == CodeIdentity(commit_sha=HEAD, pipeline_id="12")


def test_a_sidecar_holds_names_or_the_ci_s_own_variables() -> None:
    assert from_sidecar({"commit": HEAD, "pipeline_id": 5}).pipeline_id == "5"
    assert from_sidecar({"CIRCLECI": "true", "CIRCLE_SHA1": HEAD}).commit_sha == HEAD
    assert from_sidecar([1]) == CodeIdentity()


def test_a_job_is_known_by_its_pipeline() -> None:
    assert CodeIdentity(commit_sha=HEAD, job="api").job_key() is None
    assert CodeIdentity(pipeline_id="1", job="api", provider="github").job_key() == (
        "github", "1", None, "api", None,
    )  # fmt: skip
