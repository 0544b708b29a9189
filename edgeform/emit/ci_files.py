"""The CI files that `edgeform ci init` writes: templates with two words filled in, never more."""

import re
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources

from edgeform.errors import UsageError

_PLAIN = re.compile(r"[A-Za-z0-9._/-]+\Z")
"""What can stand unquoted in YAML and in a shell; anything else is refused, not quoted twice."""


class Service(StrEnum):
    GITHUB = "github"
    GITLAB = "gitlab"


@dataclass(frozen=True, slots=True, kw_only=True)
class CiFile:
    """`path` is relative to the repository's root."""

    path: str
    content: str


_PATHS = {Service.GITHUB: ".github/workflows/edgeform.yml", Service.GITLAB: ".gitlab/edgeform.yml"}


def ci_file(service: Service, *, site: str = ".", branch: str = "main") -> CiFile:
    """The file for one service.

    Args:
        site: the site's folder below the repository's root. branch: where merged means applied.

    Raises:
        UsageError: a name that would have to be quoted.
    """
    for what, value in (("site", site), ("branch", branch)):
        if not _PLAIN.match(value) or value.startswith(("-", "/")) or ".." in value.split("/"):
            raise UsageError(
                f"{value!r:.80} as {what} would have to be quoted in YAML and in a shell.",
                hint="Use letters, digits, and . _ - / in the names of folders and branches.",
            )
    text = _template(f"{service}.yml").replace("@SITE@", site).replace("@BRANCH@", branch)
    return CiFile(path=_PATHS[service], content=text)


def drift_job(service: Service) -> str:
    """The nightly job of the template alone, for a CI file that is there already."""
    text = _template(f"{service}.yml")
    name = "  drift:\n" if service is Service.GITHUB else "edgeform-drift:\n"
    return name + text.partition(f"\n{name}")[2]


def drift_alerts() -> str:
    """Prometheus alert rules for what `drift --textfile` writes."""
    return _template("drift-alerts.yml")


def _template(name: str) -> str:
    file = resources.files("edgeform.emit").joinpath("templates", name)
    return file.read_text(encoding="utf-8")
