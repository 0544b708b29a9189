"""The steps of the shipped templates, run as they stand: plan, comment, keep, merge, fetch, refuse."""

import json
from dataclasses import dataclass

import pytest
from support.codehost import CodeHost
from support.here import Here
from support.locked_here import a_repository_here, commit, git, write_lock
from support.workflow import run_github, run_gitlab

STORE = {"vars.EDGEFORM_STORE": "", "github.token": ""}


@dataclass
class Team:
    """A repository, its code host, and what jobs run as."""

    root: object
    here: Here
    host: CodeHost

    def plan(self, head: str):
        def keep(name, file):
            if file.exists():
                self.host.keep_artifact(name, file.read_bytes(), head)

        variables = self.host.github(GITHUB_SHA=head)
        table = STORE | {
            "github.token": variables["GITHUB_TOKEN"],
            "github.event.pull_request.head.sha": head,
        }
        return run_github(
            "plan", self.root, site="site", table=table, variables=variables, keep=keep
        )

    def merge(self, head: str) -> str:
        git(self.root, "checkout", "-q", "main")
        git(self.root, "merge", "-q", "--no-ff", "-m", "merge", head)
        merged = git(self.root, "rev-parse", "HEAD")
        pull = {"number": 7, "merge_commit_sha": merged, "merged_at": "x", "head": {"sha": head}}
        self.host.pulls[merged] = [pull]
        return merged

    def apply(self, merged: str):
        (self.root / "plan.json").unlink(missing_ok=True)
        variables = self.host.github(GITHUB_SHA=merged, GITHUB_REF="refs/heads/main")
        table = STORE | {"github.token": variables["GITHUB_TOKEN"]}
        return run_github("apply", self.root, site="site", table=table, variables=variables)


@pytest.fixture
def team(tmp_path, capsys):
    root, here = a_repository_here(tmp_path, capsys)
    with CodeHost() as host:
        git(root, "checkout", "-q", "-b", "topic")
        yield Team(root, here, host)
    here.end()


def change(team, text="every_s: 7}") -> str:
    pipelines = team.here.site / "pipelines.yaml"
    pipelines.write_text(pipelines.read_text().replace("every_s: 10}", text))
    return commit(team.root, "change")


def test_a_pull_request_is_planned_commented_and_kept_and_a_stale_plan_is_refused(team):
    head = change(team)
    ran = team.plan(head)
    assert ran.code == 0, ran.output
    (comment,) = team.host.comments
    assert "1 to change" in comment["body"]
    assert "here-1" in comment["body"]
    (artifact,) = team.host.artifacts
    assert artifact["name"] == f"edgeform-plan-{head}"
    assert json.loads((team.root / "edgeform.sarif").read_text())["version"] == "2.1.0"

    merged = team.merge(head)
    write_lock(team.here.site, "1.0.1")
    moved = commit(team.root, "main moved while the plan lay there")
    team.host.pulls[moved] = [team.host.pulls[merged][0] | {"merge_commit_sha": moved}]
    ran = team.apply(moved)
    assert ran.code == 6, ran.output
    assert "moved since the plan was made" in ran.output
    assert not team.here.prefix().exists(), "nothing was touched"


def test_a_commit_that_nobody_planned_is_not_applied(team):
    pushed = change(team)
    ran = team.apply(pushed)
    assert ran.code == 6, ran.output
    assert "no pull request" in ran.output
    assert not team.here.prefix().exists()


def test_a_site_with_errors_is_shown_beside_its_lines_and_not_planned(team):
    ran = team.plan(change(team, "evry_s: 7}"))
    assert ran.code == 3, ran.output
    (result,) = json.loads((team.root / "edgeform.sarif").read_text())["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "site/pipelines.yaml"
    assert (team.host.comments, team.host.artifacts) == ([], [])


@pytest.mark.slow
def test_a_blocked_device_is_told_in_the_comment_and_the_plan_is_not_kept(team):
    write_lock(team.here.site, variant="another")
    ran = team.plan(commit(team.root, "not built"))
    assert ran.code == 3, ran.output
    (comment,) = team.host.comments
    assert "1 blocked" in comment["body"]
    assert team.host.artifacts == []


def test_the_nightly_job_looks_for_drift(team):
    ran = run_github("drift", team.root, site="site", table=STORE, variables={})
    assert ran.code == 0, ran.output
    assert "pending" in ran.output


@pytest.mark.slow
def test_gitlab_runs_the_same_way(team):
    head = change(team)
    variables = team.host.gitlab(CI_COMMIT_SHA=head)
    ran = run_gitlab("edgeform-plan", team.root, site="site", variables=variables)
    assert ran.code == 0, ran.output
    (note,) = team.host.comments
    assert "1 to change" in note["body"]
    assert (team.root / "plan.xml").read_text().startswith("<?xml")
    assert json.loads((team.root / "gl-code-quality-report.json").read_text()) == []

    merged = team.merge(head)
    plan = (team.root / "plan.json").read_bytes()
    team.host.files[("refs/merge-requests/7/head", "plan.json", "edgeform-plan")] = plan
    team.host.pulls[merged] = [
        {"iid": 7, "state": "merged", "source_project_id": 42, "target_project_id": 42}
    ]
    write_lock(team.here.site, "1.0.1")
    variables = team.host.gitlab(CI_COMMIT_SHA=merged)
    ran = run_gitlab("edgeform-apply", team.root, site="site", variables=variables)
    assert ran.code == 6, ran.output
    assert (team.root / "plan.json").read_bytes() == plan


def test_the_file_is_written_into_the_repository_and_not_over_another(team):
    said = team.here.run("ci", "init", "--github", "site", inside=".")
    assert said.code == 0, said.err
    written = team.root / ".github/workflows/edgeform.yml"
    assert "SITE: site\n" in written.read_text()
    assert team.here.run("ci", "init", "--github").code == 0, "the same again is no harm"
    written.write_text("mine")
    said = team.here.run("ci", "init", "--github")
    assert (said.code, "--force" in said.err) == (64, True)
    assert written.read_text() == "mine"
    assert team.here.run("ci", "init").code == 64
