"""Questions to a code host's REST API: JSON in and out, pages followed, failures in plain words.

A token is sent to the API it was given for and to nobody else; it is in no message.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeform.emit.surroundings import CodeHost, GitHub
from edgeform.errors import OutsideFailed

TIMEOUT_S = (10.0, 60.0)
PER_PAGE = 100
MOST_PAGES = 50
GITHUB_VERSION = "2022-11-28"
_HINTS = {
    401: "Is the token set, and still valid?",
    403: "May the token do that? GitHub: `permissions: pull-requests: write`; GitLab: scope `api`.",
    404: "Is it the right repository, and may the token see it?",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """One code host's API."""

    host: CodeHost
    timeout_s: tuple[float, float] = field(default=TIMEOUT_S)

    def ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Any:
        """The JSON of an answer.

        Raises:
            OutsideFailed: not reached, or an answer that is no success.
        """
        return self._json(self._send(method, path, body=body), path)

    def try_ask(self, path: str) -> Any | None:
        """The JSON of a GET; None where this token may not ask that."""
        answer = self._send("GET", path, refused_is_an_answer=True)
        return None if answer.status_code in (401, 403, 404) else self._json(answer, path)

    def each(self, path: str) -> Iterator[Any]:
        """Every object of a list, page after page."""
        joint = "&" if "?" in path else "?"
        for number in range(1, MOST_PAGES + 1):
            found = self.ask("GET", f"{path}{joint}per_page={PER_PAGE}&page={number}")
            if not isinstance(found, list):
                raise OutsideFailed(f"{path} is no list.", address=self.host.api)
            yield from found
            if len(found) < PER_PAGE:
                return

    def download(self, path: str, at_most: int) -> bytes:
        """The bytes of an answer; the token stays behind when another host serves them."""
        answer = self._send("GET", path, stream=True)
        content = bytearray()
        for part in answer.iter_content(1 << 16):
            content += part
            if len(content) > at_most:
                raise OutsideFailed(f"{path} has more than {at_most} bytes.", address=self.host.api)
        return bytes(content)

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, str] | None = None,
        stream: bool = False,
        refused_is_an_answer: bool = False,
    ) -> Any:
        import requests  # noqa: PLC0415 - half a second that only these verbs pay

        try:
            answer = requests.request(
                method,
                self.host.api + path,
                json=body,
                headers=self._headers(),
                timeout=self.timeout_s,
                stream=stream,
            )
        except requests.RequestException as exc:
            raise OutsideFailed(
                f"{method} {path}: no answer ({type(exc).__name__}).",
                address=self.host.api,
                hint="Can this machine reach the code host?",
            ) from exc
        if not answer.ok and not (refused_is_an_answer and answer.status_code in (401, 403, 404)):
            raise OutsideFailed(
                f"{method} {path}: answer {answer.status_code} {answer.reason}. {_said(answer)}".strip(),
                address=self.host.api,
                hint=_HINTS.get(answer.status_code, "Try again later; nothing was changed here."),
            )
        return answer

    def _headers(self) -> dict[str, str]:
        if isinstance(self.host, GitHub):
            return {
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self.host.token}",
                "X-GitHub-Api-Version": GITHUB_VERSION,
            }
        return {"PRIVATE-TOKEN": self.host.token}

    def _json(self, answer: Any, path: str) -> Any:
        try:
            return answer.json()
        except ValueError as exc:
            raise OutsideFailed(f"{path}: the answer is not JSON.", address=self.host.api) from exc


def _said(answer: Any) -> str:
    """The service's own words, briefly."""
    try:
        found = answer.json()
    except ValueError:
        return ""
    message = found.get("message", "") if isinstance(found, dict) else ""
    return str(message)[:300]
