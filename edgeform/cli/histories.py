"""What happened to devices, told from receipts and from the site's commits."""

import bisect
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from edgeform.cli.workspace import Workspace
from edgeform.domain.site import Device
from edgeform.report.fleet import Commit, Moment, RunRow
from edgeform.rollout.journal import Journal
from edgeform.rollout.records import Parted, joined, lines_of_file
from edgeform_wire.errors import WireError
from edgeform_wire.receipt import Receipt, decode_line

MOST_COMMITS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A device's receipts as far as this machine and Git know them; `parted` where the two disagree."""

    lines: tuple[bytes, ...]
    parted: Parted | None = None

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """Those that can be read."""
        found = []
        for line in self.lines:
            try:
                found.append(decode_line(line).receipt)
            except WireError:
                continue
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Everything archived about a site's devices, by device, and the runs of this machine."""

    chains: dict[str, Chain]
    runs: tuple[RunRow, ...]


def known(workspace: Workspace, site: str, devices: Sequence[Device], *, runs: int = 20) -> Known:
    """What the journal of this machine and the records in Git say; reads only, makes no journal."""
    if not (workspace.state_dir / "journal.db").exists():
        found = {str(d.name): _chain(recorded(workspace, d.name), ()) for d in devices}
        return Known(chains=found, runs=())
    with workspace.journal_to_read() as journal:
        chains = {
            str(d.name): _chain(recorded(workspace, d.name), journal.receipts(site, d.name))
            for d in devices
        }
        return Known(chains=chains, runs=_runs(journal, runs))


def recorded(workspace: Workspace, device: str) -> tuple[bytes, ...]:
    """The lines of a device in Git; none where there is no file."""
    file = workspace.records_dir / f"{device}.jsonl"
    return lines_of_file(file.read_bytes()) if file.exists() else ()


def moments(receipts: Sequence[Receipt], commits: tuple[Commit, ...]) -> list[Moment]:
    """One moment per receipt, each with the site's last commit before it."""
    return [
        Moment(
            time=receipt.wall_time,
            device=receipt.device,
            result=receipt.result,
            from_generation=receipt.from_generation,
            to_generation=receipt.to_generation,
            digest=receipt.digest,
            road=receipt.road,
            reason=receipt.reason,
            commit=_before(receipt.wall_time, commits),
        )
        for receipt in receipts
    ]


def site_commits(workspace: Workspace) -> tuple[Commit, ...]:
    """The site's newest commits, oldest first; none outside Git."""
    done = subprocess.run(
        ("git", "-C", str(workspace.site_dir), "log", f"-{MOST_COMMITS}",
         "--format=%H%x00%an%x00%ct%x00%s", "--", "."),
        capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        return ()
    found = []
    for line in done.stdout.decode(errors="replace").split("\n"):
        parts = line.split("\0", 3)
        if len(parts) == 4:
            digest, author, seconds, subject = parts
            found.append(Commit(digest=digest, author=author, time_s=int(seconds), subject=subject))
    return tuple(sorted(found, key=lambda c: c.time_s))


def _chain(in_git: tuple[bytes, ...], archived: Sequence[bytes]) -> Chain:
    found = joined(in_git, archived)
    if isinstance(found, Parted):
        # What devices told this very machine is nearer to them than a file that others can edit.
        own = tuple(entry.rstrip(b"\n") for entry in archived)
        return Chain(lines=own or in_git, parted=found)
    return Chain(lines=found)


def _before(time: str, commits: tuple[Commit, ...]) -> Commit | None:
    try:
        seconds = datetime.fromisoformat(time).timestamp()
    except ValueError:
        return None
    place = bisect.bisect_right(commits, seconds, key=lambda c: c.time_s)
    return commits[place - 1] if place else None


def _runs(journal: Journal, at_most: int) -> tuple[RunRow, ...]:
    return tuple(
        RunRow(
            number=run.number,
            who=run.who,
            started=run.started,
            finished=run.finished,
            exit_code=run.exit_code,
            counts=run.counts,
        )
        for run in journal.runs(at_most=at_most)
    )
