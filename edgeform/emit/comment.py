"""One sticky comment on a change: written once, then kept up to date.

A comment is only taken for ours when it begins with our marker *and* was written by whoever the token
belongs to: else somebody could leave the marker first, have the plan written below their own name, and
edit it after it was reviewed.

Sources: docs.github.com/rest/issues/comments (list, create, update: a pull request is an issue there) and
docs.gitlab.com/api/notes (merge request notes: list, create, modify).
"""

from dataclasses import dataclass
from typing import Any

from edgeform.emit.rest import Rest
from edgeform.emit.surroundings import GitHub
from edgeform.errors import OutsideFailed, UsageError

MARKER = "<!-- edgeform:plan:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """`action` is created, updated or unchanged."""

    action: str
    address: str


def marker_of(text: str) -> str:
    """The first line of a comment's text.

    Raises:
        UsageError: it is no text of `plan -o markdown`.
    """
    first = text.partition("\n")[0].strip()
    if not (first.startswith(MARKER) and first.endswith("-->")):
        raise UsageError(
            "The text does not begin with the marker by which the next run finds it.",
            hint="Make it with:\n    edgeform plan -o markdown > plan.md",
        )
    return first


def post(rest: Rest, text: str) -> Posted:
    """Put the text on the change, in the place of the one that stands there already.

    Raises:
        UsageError: the run belongs to no change. OutsideFailed: the code host said no, or nothing.
    """
    first = marker_of(text)
    change = rest.host.change
    if change is None:
        raise UsageError(
            "This run belongs to no pull or merge request.",
            hint="Say which one:\n    edgeform ci comment plan.md --change NUMBER",
        )
    if isinstance(rest.host, GitHub):
        listed = f"/repos/{rest.host.repository}/issues/{change}/comments"
        one, method = f"/repos/{rest.host.repository}/issues/comments", "PATCH"
        author = _author(rest, "login")
    else:
        listed = f"/projects/{rest.host.project}/merge_requests/{change}/notes"
        one, method = listed, "PUT"
        author = _author(rest, "username")
    body = {"body": text}
    for found in rest.each(listed):
        if not _is_ours(found, first, author):
            continue
        if str(found["body"]).replace("\r\n", "\n").strip() == text.strip():
            return Posted(action="unchanged", address=_address(found))
        answer = rest.ask(method, f"{one}/{int(found['id'])}", body)
        return Posted(action="updated", address=_address(answer))
    return Posted(action="created", address=_address(rest.ask("POST", listed, body)))


def _author(rest: Rest, key: str) -> tuple[str, str] | None:
    """(field, name) of the token's owner; None for a GitHub job's own token, which may not ask."""
    found = rest.try_ask("/user")
    if isinstance(found, dict) and isinstance(found.get(key), str):
        return key, found[key]
    if not isinstance(rest.host, GitHub):
        raise OutsideFailed(
            "The code host does not say whose token this is.",
            address=rest.host.api,
            hint="A project access token with scope `api` may ask that.",
        )
    return None


def _is_ours(found: Any, first: str, author: tuple[str, str] | None) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("id"), int):
        return False
    if not str(found.get("body", "")).startswith(first):
        return False
    writer = found.get("user") or found.get("author")
    if not isinstance(writer, dict):
        return False
    if author is None:
        # A job's own token writes as `github-actions[bot]`; people cannot be of type Bot.
        return writer.get("type") == "Bot"
    key, name = author
    return writer.get(key) == name


def _address(found: Any) -> str:
    if isinstance(found, dict):
        return str(found.get("html_url") or f"note {found.get('id', '')}")
    return ""
