"""A small code host on loopback that answers as the documented REST APIs do: GitHub's and GitLab's.

GitHub: docs.github.com/rest/issues/comments, /rest/users/users ("Get the authenticated user"),
/rest/commits/commits ("List pull requests associated with a commit"), /rest/actions/artifacts.
GitLab: docs.gitlab.com/api/notes, /api/users, /api/commits, /api/job_artifacts.
"""

import io
import json
import re
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "canary-token-of-the-job"
BOT = {"login": "github-actions[bot]", "type": "Bot"}


@dataclass
class CodeHost:
    """What the service knows. `login` None: a job's own token, which may not ask who it is."""

    repository: str = "acme/site"
    project: str = "42"
    change: int = 7
    login: str | None = None
    comments: list = field(default_factory=list)
    pulls: dict = field(default_factory=dict)
    artifacts: list = field(default_factory=list)
    files: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    refuse: int | None = None

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"service": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def github(self, **more) -> dict[str, str]:
        """The variables of a job of GitHub Actions."""
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.address,
            "GITHUB_REPOSITORY": self.repository,
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_REF": f"refs/pull/{self.change}/merge",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_RUN_ID": "11",
        } | more

    def gitlab(self, **more) -> dict[str, str]:
        return {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": f"{self.address}/api/v4",
            "CI_PROJECT_ID": self.project,
            "CI_MERGE_REQUEST_IID": str(self.change),
            "CI_JOB_URL": "https://gitlab.example/acme/site/-/jobs/11",
            "EDGEFORM_GITLAB_TOKEN": TOKEN,
        } | more

    def keep_artifact(self, name: str, content: bytes, head: str, **changed) -> None:
        """What actions/upload-artifact does: one file in an archive."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("plan.json", content)
        number = len(self.artifacts) + 1
        run = {"id": 3, "repository_id": 1, "head_repository_id": 1, "head_sha": head}
        self.artifacts.append(
            {
                "id": number,
                "name": name,
                "expired": False,
                "created_at": f"2026-01-0{number}T00:00:00Z",
                "workflow_run": run | changed,
                "zip": packed.getvalue(),
            }
        )


class _Handler(BaseHTTPRequestHandler):
    service: CodeHost
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer("GET")

    def do_POST(self):
        self._answer("POST")

    def do_PATCH(self):
        self._answer("PATCH")

    def do_PUT(self):
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        parts = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        self.service.asked.append((method, parts.path))
        bearer = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        private = self.headers.get("PRIVATE-TOKEN") == TOKEN
        if self.service.refuse is not None and parts.path != "/user":
            return self._say(
                self.service.refuse, {"message": "Resource not accessible by integration"}
            )
        if parts.path.startswith("/api/v4"):
            if not private:
                return self._say(401, {"message": "401 Unauthorized"})
            return self._gitlab(method, parts.path.removeprefix("/api/v4"), query, body)
        if not bearer or self.headers.get("X-GitHub-Api-Version") != "2022-11-28":
            return self._say(401, {"message": "Bad credentials"})
        return self._github(method, parts.path, query, body)

    def _github(self, method, path, query, body):
        service = self.service
        base = f"/repos/{service.repository}"
        if (method, path) == ("GET", "/user"):
            if service.login is None:
                return self._say(403, {"message": "Resource not accessible by integration"})
            return self._say(200, {"login": service.login, "type": "User"})
        if path == f"{base}/issues/{service.change}/comments":
            if method == "GET":
                return self._page(service.comments, query)
            return self._say(201, self._written(body, "user", self._github_writer()))
        if method == "PATCH" and (found := re.fullmatch(rf"{base}/issues/comments/(\d+)", path)):
            return self._changed(int(found[1]), body)
        if method == "GET" and (found := re.fullmatch(rf"{base}/commits/([0-9a-f]+)/pulls", path)):
            return self._say(200, service.pulls.get(found[1], []))
        if (method, path) == ("GET", f"{base}/actions/artifacts"):
            shown = [
                {k: v for k, v in a.items() if k != "zip"}
                for a in service.artifacts
                if a["name"] == query.get("name", a["name"])
            ]
            return self._say(200, {"total_count": len(shown), "artifacts": shown})
        if method == "GET" and (
            found := re.fullmatch(rf"{base}/actions/artifacts/(\d+)/zip", path)
        ):
            return self._redirect(f"/blob/{found[1]}")
        if method == "GET" and (found := re.fullmatch(r"/blob/(\d+)", path)):
            return self._bytes(service.artifacts[int(found[1]) - 1]["zip"])
        return self._say(404, {"message": "Not Found"})

    def _gitlab(self, method, path, query, body):
        service = self.service
        base = f"/projects/{service.project}"
        if (method, path) == ("GET", "/user"):
            return self._say(200, {"username": service.login or "project_42_bot"})
        if path == f"{base}/merge_requests/{service.change}/notes":
            if method == "GET":
                return self._page(service.comments, query)
            writer = {"username": service.login or "project_42_bot"}
            return self._say(201, self._written(body, "author", writer))
        found = re.fullmatch(rf"{base}/merge_requests/{service.change}/notes/(\d+)", path)
        if method == "PUT" and found:
            return self._changed(int(found[1]), body)
        found = re.fullmatch(rf"{base}/repository/commits/([0-9a-f]+)/merge_requests", path)
        if method == "GET" and found:
            return self._say(200, service.pulls.get(found[1], []))
        found = re.fullmatch(rf"{base}/jobs/artifacts/([^/]+)/raw/(.+)", path)
        if method == "GET" and found:
            key = (unquote(found[1]), found[2], query.get("job"))
            if key in service.files:
                return self._bytes(service.files[key])
        return self._say(404, {"message": "404 Not Found"})

    def _github_writer(self):
        login = self.service.login
        return BOT if login is None else {"login": login, "type": "User"}

    def _written(self, body, key, writer):
        number = len(self.service.comments) + 1
        address = f"https://github.com/acme/site/pull/{self.service.change}#issuecomment-{number}"
        made = {"id": number, "body": body["body"], key: writer, "html_url": address}
        self.service.comments.append(made)
        return made

    def _changed(self, number, body):
        for found in self.service.comments:
            if found["id"] == number:
                found["body"] = body["body"]
                return self._say(200, found)
        return self._say(404, {"message": "Not Found"})

    def _page(self, items, query):
        size, number = int(query.get("per_page", 30)), int(query.get("page", 1))
        return self._say(200, items[(number - 1) * size : number * size])

    def _redirect(self, path):
        self.send_response(302)
        self.send_header("Location", path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _say(self, status, value):
        self._bytes(json.dumps(value).encode(), status)

    def _bytes(self, content, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
