"""The plan that was saved for a change, found again when the change is merged: exactly that one.

On GitHub the merged commit names its pull request, and the artifact `edgeform-plan-COMMIT` of that
request's last commit is taken, from a run of this repository only, never of a fork. On GitLab the merge
request's head names the job. Whether the plan is still true is not judged here: `apply` does that.

Sources: docs.github.com/rest/commits/commits ("List pull requests associated with a commit"),
docs.github.com/rest/actions/artifacts; docs.gitlab.com/api/commits ("List merge requests associated with a
commit"), docs.gitlab.com/api/job_artifacts ("Download a single artifact file by reference name").
"""

import io
import re
import zipfile
from typing import Any
from urllib.parse import quote

from edgeform.emit.rest import Rest
from edgeform.emit.surroundings import GitHub, GitLab
from edgeform.errors import Corrupt, OutsideFailed, Stale, UsageError

NAME = "edgeform-plan-"
JOB = "edgeform-plan"
FILE = "plan.json"
MAX_BYTES = 256 * 1024 * 1024
_COMMIT = re.compile(r"[0-9a-f]{40,64}\Z")


def fetch(rest: Rest, *, job: str = JOB) -> bytes:
    """The bytes of the saved plan of the change that this commit merged.

    Raises:
        UsageError: the run names no commit. Stale: no plan was kept for it.
    """
    if not _COMMIT.match(rest.host.commit):
        raise UsageError("The run does not say which commit it is for.")
    if isinstance(rest.host, GitHub):
        return _from_github(rest, rest.host)
    return _from_gitlab(rest, rest.host, job)


def _from_github(rest: Rest, host: GitHub) -> bytes:
    pulls = rest.ask("GET", f"/repos/{host.repository}/commits/{host.commit}/pulls")
    merged = [p for p in pulls if p.get("merge_commit_sha") == host.commit and p.get("merged_at")]
    if not merged:
        raise _nothing(f"Commit {host.commit[:12]} was merged by no pull request.")
    head = str(merged[0]["head"]["sha"])
    if not _COMMIT.match(head):
        raise OutsideFailed("The pull request's head is no commit.", address=host.api)
    listed = rest.ask("GET", f"/repos/{host.repository}/actions/artifacts?name={NAME}{head}")
    own = [a for a in listed.get("artifacts", ()) if _is_own(a, head)]
    if not own:
        raise _nothing(f"No plan was kept for pull request {merged[0]['number']} ({head[:12]}).")
    newest = max(own, key=lambda a: (str(a.get("created_at", "")), int(a["id"])))
    path = f"/repos/{host.repository}/actions/artifacts/{int(newest['id'])}/zip"
    return _unpacked(rest.download(path, MAX_BYTES))


def _is_own(artifact: Any, head: str) -> bool:
    """Whether a run of this very repository made it for this commit, and it still exists."""
    run = artifact.get("workflow_run") or {}
    return (
        not artifact.get("expired", True)
        and run.get("head_sha") == head
        and run.get("repository_id") is not None
        and run.get("repository_id") == run.get("head_repository_id")
    )


def _from_gitlab(rest: Rest, host: GitLab, job: str) -> bytes:
    path = f"/projects/{host.project}/repository/commits/{host.commit}/merge_requests"
    merged = [m for m in rest.ask("GET", path) if m.get("state") == "merged"]
    own = [m for m in merged if m.get("source_project_id") == m.get("target_project_id")]
    if not own:
        raise _nothing(f"Commit {host.commit[:12]} was merged by no merge request of this project.")
    reference = quote(f"refs/merge-requests/{int(own[0]['iid'])}/head", safe="")
    return rest.download(
        f"/projects/{host.project}/jobs/artifacts/{reference}/raw/{FILE}?job={quote(job, safe='')}",
        MAX_BYTES,
    )


def _unpacked(archive: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            inside = opened.getinfo(FILE)
            if inside.file_size > MAX_BYTES:
                raise Corrupt(f"{FILE} in the artifact has {inside.file_size} bytes.")
            with opened.open(inside) as stream:
                content = stream.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError) as exc:
        raise Corrupt(f"The artifact holds no readable {FILE}: {exc}") from exc
    if len(content) > MAX_BYTES:
        raise Corrupt(f"{FILE} in the artifact has more than {MAX_BYTES} bytes.")
    return content


def _nothing(detail: str) -> Stale:
    return Stale(
        detail,
        hint="What was not planned is not applied. Plan it, have it read, then apply that file:\n"
        "    edgeform plan --out plan.json",
    )
