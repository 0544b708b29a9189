"""One sticky comment and the plan that was kept, against a service that answers as the documented APIs do."""

import pytest
from support.codehost import BOT, TOKEN, CodeHost
from support.plan import a_wide_plan

from edgeform.emit.comment import post
from edgeform.emit.rest import Rest
from edgeform.emit.saved_plan import fetch
from edgeform.emit.surroundings import code_host, page_of_run
from edgeform.errors import Corrupt, OutsideFailed, Stale, UsageError
from edgeform.plan import encode
from edgeform.report.markdown import markdown, marker

TEXT = markdown(a_wide_plan())
MERGED, HEAD = "a" * 40, "b" * 40
REFERENCE = "refs/merge-requests/7/head"


@pytest.fixture
def host():
    with CodeHost() as made:
        yield made


def rest(host, service="github", **more) -> Rest:
    return Rest(host=code_host(getattr(host, service)(**more)), timeout_s=(2.0, 5.0))


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_a_comment_is_written_once_and_then_kept_up_to_date(host, service):
    assert post(rest(host, service), TEXT).action == "created"
    assert post(rest(host, service), TEXT).action == "unchanged"
    assert post(rest(host, service), TEXT + "\nmore\n").action == "updated"
    (comment,) = host.comments
    assert comment["body"].endswith("more\n")


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_it_is_found_behind_hundreds_of_other_comments(host, service):
    key = "user" if service == "github" else "author"
    writer = {"login": "kim", "username": "kim", "type": "User"}
    host.comments = [{"id": n, "body": "me too", key: writer} for n in range(1, 251)]
    assert post(rest(host, service), TEXT).action == "created"
    assert post(rest(host, service), TEXT + "!").action == "updated"
    assert len(host.comments) == 251


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_somebody_elses_comment_with_our_marker_is_left_alone(host, service):
    key = "user" if service == "github" else "author"
    mallory = {"login": "mallory", "username": "mallory", "type": "User"}
    host.comments = [{"id": 1, "body": marker("lab") + "\nall is well", key: mallory}]
    assert post(rest(host, service), TEXT).action == "created"
    assert host.comments[0]["body"].endswith("all is well")


def test_a_persons_token_only_takes_that_persons_comment(host):
    host.login = "kim"
    host.comments = [{"id": 1, "body": TEXT, "user": BOT}]
    assert post(rest(host), TEXT).action == "created"
    assert post(rest(host), TEXT + "!").action == "updated"
    assert host.comments[0]["body"] == TEXT


def test_two_sites_of_one_repository_have_a_comment_each(host):
    post(rest(host), TEXT)
    post(rest(host), TEXT.replace(marker("lab"), marker("berlin"), 1))
    assert [c["body"].partition("\n")[0] for c in host.comments] == [
        marker("lab"),
        marker("berlin"),
    ]


def test_a_text_without_the_marker_is_not_posted(host):
    with pytest.raises(UsageError, match="marker"):
        post(rest(host), "# plan")
    assert host.asked == []


def test_a_run_without_a_change_says_how_to_name_one(host):
    with pytest.raises(UsageError) as failed:
        post(rest(host, GITHUB_REF="refs/heads/main"), TEXT)
    assert "--change" in failed.value.hint


@pytest.mark.parametrize("status", [401, 403, 404, 422, 500])
def test_a_refusal_is_told_in_the_services_words_and_never_with_the_token(host, status):
    host.refuse = status
    with pytest.raises(OutsideFailed) as failed:
        post(rest(host), TEXT)
    said = failed.value.rendered()
    assert f"answer {status}" in said
    assert "Resource not accessible" in said
    assert TOKEN not in said


def test_a_service_that_is_not_there_is_told_without_the_token():
    with CodeHost() as gone:
        variables = gone.github()
    with pytest.raises(OutsideFailed) as failed:
        post(Rest(host=code_host(variables), timeout_s=(1.0, 1.0)), TEXT)
    assert TOKEN not in failed.value.rendered()
    assert "reach the code host" in failed.value.hint


def kept(host, content=None, **changed):
    host.pulls[MERGED] = [
        {"number": 6, "merge_commit_sha": "c" * 40, "merged_at": None, "head": {"sha": "d" * 40}},
        {"number": 7, "merge_commit_sha": MERGED, "merged_at": "2026-01-01", "head": {"sha": HEAD}},
    ]
    host.keep_artifact(f"edgeform-plan-{HEAD}", content or encode(a_wide_plan()), HEAD, **changed)


def test_the_plan_of_the_merged_change_comes_back_byte_for_byte(host):
    kept(host)
    assert fetch(rest(host, GITHUB_SHA=MERGED)) == encode(a_wide_plan())


def test_the_newest_plan_of_the_last_commit_is_taken(host):
    kept(host, b"older")
    kept(host, b"newer")
    assert fetch(rest(host, GITHUB_SHA=MERGED)) == b"newer"


@pytest.mark.parametrize(
    "changed", [{"head_repository_id": 2}, {"head_sha": "e" * 40}, {"repository_id": None}]
)
def test_an_artifact_of_a_fork_or_of_another_commit_is_never_taken(host, changed):
    kept(host, **changed)
    with pytest.raises(Stale, match="No plan was kept"):
        fetch(rest(host, GITHUB_SHA=MERGED))


def test_what_nobody_planned_is_not_applied(host):
    with pytest.raises(Stale) as failed:
        fetch(rest(host, GITHUB_SHA=MERGED))
    assert "edgeform plan --out" in failed.value.hint


def test_a_branch_that_was_forced_after_it_was_planned_has_no_plan(host):
    """The request's head is another commit now; the plan of the one before is not taken for it."""
    kept(host)
    host.pulls[MERGED][1]["head"]["sha"] = "f" * 40
    with pytest.raises(Stale, match="No plan was kept for pull request 7"):
        fetch(rest(host, GITHUB_SHA=MERGED))


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_a_main_branch_that_was_forced_is_a_commit_that_no_request_merged(host, service):
    kept(host) if service == "github" else merge_request(host)
    variable = "GITHUB_SHA" if service == "github" else "CI_COMMIT_SHA"
    with pytest.raises(Stale, match="was merged by no"):
        fetch(rest(host, service, **{variable: "9" * 40}))


def test_an_artifact_that_is_no_archive_is_corrupt(host):
    kept(host)
    host.artifacts[0]["zip"] = b"PK\x03\x04 and nothing"
    with pytest.raises(Corrupt):
        fetch(rest(host, GITHUB_SHA=MERGED))


def merge_request(host, **changed):
    found = {"iid": 7, "state": "merged", "source_project_id": 42, "target_project_id": 42}
    host.pulls[MERGED] = [found | changed]
    host.files[(REFERENCE, "plan.json", "edgeform-plan")] = encode(a_wide_plan())


def test_gitlab_keeps_the_plan_with_the_merge_requests_head(host):
    merge_request(host)
    assert fetch(rest(host, "gitlab", CI_COMMIT_SHA=MERGED)) == encode(a_wide_plan())


@pytest.mark.parametrize("changed", [{"state": "opened"}, {"source_project_id": 43}])
def test_gitlab_takes_no_plan_of_an_open_request_or_of_a_fork(host, changed):
    merge_request(host, **changed)
    with pytest.raises(Stale):
        fetch(rest(host, "gitlab", CI_COMMIT_SHA=MERGED))


@pytest.mark.parametrize("missing", ["GITHUB_TOKEN", "GITHUB_REPOSITORY"])
def test_a_variable_that_is_missing_is_named(host, missing):
    with pytest.raises(UsageError, match=missing):
        rest(host, **{missing: ""})


def test_outside_a_ci_the_verb_says_so():
    with pytest.raises(UsageError, match="neither"):
        code_host({})
    assert page_of_run({}) == ""


def test_the_page_of_a_run_is_where_the_rest_of_a_plan_is_found(host):
    assert page_of_run(host.github()) == "https://github.com/acme/site/actions/runs/11"
    assert page_of_run(host.gitlab()) == "https://gitlab.example/acme/site/-/jobs/11"
