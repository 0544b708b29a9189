"""`edgeform ci`: templates for a code host, one sticky comment, and the plan that was kept."""

import os
import subprocess
from pathlib import Path

import click

from edgeform.cli.plan_shown import write_plan
from edgeform.cli.workspace import find_workspace
from edgeform.emit.ci_files import Service, ci_file
from edgeform.emit.comment import post
from edgeform.emit.rest import Rest
from edgeform.emit.saved_plan import fetch
from edgeform.emit.surroundings import code_host
from edgeform.errors import Stale, UsageError
from edgeform.plan import decode, encode

MAX_COMMENT = 1_000_000


@click.group("ci")
def command() -> None:
    """Plan on a pull request, apply exactly that plan on merge, look for drift at night."""


@command.command("init")
@click.option("--github", "service", flag_value="github", help="A GitHub Actions workflow.")
@click.option("--gitlab", "service", flag_value="gitlab", help="A file to include in GitLab CI.")
@click.option("--branch", default="main", show_default=True, help="Where merged means applied.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.argument("site", required=False, metavar="[SITE]")
def init_command(service: str | None, branch: str, force: bool, site: str | None) -> int:
    """Write the template into the repository that SITE is in; nothing is committed."""
    if service is None:
        raise UsageError("Which service?", hint="edgeform ci init --github    # or --gitlab")
    folder = find_workspace(site).site_dir.resolve()
    root = _root_of(folder)
    made = ci_file(Service(service), site=folder.relative_to(root).as_posix(), branch=branch)
    path = root / made.path
    if path.exists() and not force and path.read_text() != made.content:
        raise UsageError(
            "The file is there, and differs.", address=str(path), hint="Write over it: --force"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(made.content)
    click.echo(path)
    return 0


@command.command("comment")
@click.argument("text", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--change", type=click.IntRange(1), help="Number of the pull or merge request.")
def comment_command(text: Path, change: int | None) -> int:
    """Put TEXT, made by `plan -o markdown`, on the change: one comment, kept up to date."""
    try:
        content = text.read_text(encoding="utf-8", errors="replace")
    except OSError as exc:
        raise UsageError(f"It cannot be read: {exc.strerror}.", address=str(text)) from exc
    if len(content) > MAX_COMMENT:
        raise UsageError(f"A text of {len(content)} characters is no comment.", address=str(text))
    posted = post(Rest(host=code_host(os.environ, change=change)), content)
    click.echo(f"{posted.action}\t{posted.address}")
    return 0


@command.command("fetch")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("plan.json"),
    show_default=True,
    help="Where to save the plan.",
)
@click.option("--job", default="edgeform-plan", show_default=True, help="GitLab: the job's name.")
def fetch_command(out: Path, job: str) -> int:
    """Fetch the plan that was kept for the change that this commit merged; no other one."""
    content = fetch(Rest(host=code_host(os.environ)), job=job)
    plan = decode(content)
    if encode(plan) != content:
        raise Stale(
            "The plan was written by another version of edgeform, so its bytes would not stay the same.",
            hint="Plan again with this version:\n    edgeform plan --out plan.json",
        )
    write_plan(plan, out)
    click.echo(f"{out}\t{plan.site}\tmade {plan.created_at} by {plan.made_by}")
    return 0


def _root_of(folder: Path) -> Path:
    """The root of the Git repository that the folder is in."""
    done = subprocess.run(
        ("git", "-C", str(folder), "rev-parse", "--show-toplevel"),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UsageError(
            "The site is in no Git repository.",
            address=str(folder),
            hint=f"Make it one:\n    git -C {folder} init",
        )
    return Path(done.stdout.rstrip("\n")).resolve()
