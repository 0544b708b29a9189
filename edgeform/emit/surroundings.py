"""Which code host a run works for, read from the variables that its CI sets.

Sources: docs.github.com "Variables reference" (default environment variables of GitHub Actions);
docs.gitlab.com/ci/variables/predefined_variables.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgeform.errors import UsageError

GITHUB_TOKEN = "GITHUB_TOKEN"  # noqa: S105 - the name of a variable
GITLAB_TOKEN = "EDGEFORM_GITLAB_TOKEN"  # noqa: S105 - likewise

_PULL = re.compile(r"refs/pull/([0-9]+)/(?:merge|head)\Z")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub:
    """`change` is the number of the pull request, None for a run that belongs to none."""

    api: str
    repository: str
    token: str
    change: int | None
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GitLab:
    """`project` is its number; `change` the iid of the merge request."""

    api: str
    project: str
    token: str
    change: int | None
    commit: str


CodeHost = GitHub | GitLab


def code_host(environment: Mapping[str, str], *, change: int | None = None) -> CodeHost:
    """The code host of this run.

    Args:
        change: the pull or merge request, where the variables do not say or say another one.

    Raises:
        UsageError: no CI that is known here, or a variable is missing.
    """
    if environment.get("GITHUB_ACTIONS") == "true":
        repository = _wanted(environment, "GITHUB_REPOSITORY")
        if not _REPOSITORY.match(repository):
            raise UsageError(f"GITHUB_REPOSITORY is {repository!r:.80}, not OWNER/NAME.")
        found = _PULL.match(environment.get("GITHUB_REF", ""))
        return GitHub(
            api=environment.get("GITHUB_API_URL", "https://api.github.com").rstrip("/"),
            repository=repository,
            token=_wanted(environment, GITHUB_TOKEN),
            change=change or (int(found[1]) if found else None),
            commit=environment.get("GITHUB_SHA", ""),
        )
    if environment.get("GITLAB_CI") == "true":
        iid = environment.get("CI_MERGE_REQUEST_IID", "")
        return GitLab(
            api=_wanted(environment, "CI_API_V4_URL").rstrip("/"),
            project=_number(environment, "CI_PROJECT_ID"),
            token=_wanted(environment, GITLAB_TOKEN),
            change=change or (int(iid) if iid.isdecimal() else None),
            commit=environment.get("CI_COMMIT_SHA", ""),
        )
    raise UsageError(
        "This is neither GitHub Actions nor GitLab CI: GITHUB_ACTIONS and GITLAB_CI are not `true`.",
        hint="In another CI, set the variables that one of the two sets: docs/how-to/git-and-ci.md",
    )


def page_of_run(environment: Mapping[str, str]) -> str:
    """The address of this run's page, where its artifacts are; empty outside a known CI."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    if environment.get("GITHUB_ACTIONS") == "true" and all(environment.get(n) for n in names):
        server, repository, run = (environment[n] for n in names)
        return f"{server}/{repository}/actions/runs/{run}"
    return environment.get("CI_JOB_URL", "") if environment.get("GITLAB_CI") == "true" else ""


def _wanted(environment: Mapping[str, str], name: str) -> str:
    found = environment.get(name, "")
    if not found:
        raise UsageError(
            f"{name} is not set.",
            hint="The templates of `edgeform ci init` set it; see docs/how-to/git-and-ci.md",
        )
    return found


def _number(environment: Mapping[str, str], name: str) -> str:
    found = _wanted(environment, name)
    if not found.isdecimal():
        raise UsageError(f"{name} is {found!r:.80}, not a number.")
    return found
