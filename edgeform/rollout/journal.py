"""What was done, on disk before and after it is done: survives the controller's death.

SQLite with full synchronisation. One run per apply; one row per device of a run. `--resume` reads the
last run of the same plan and leaves devices that committed alone. Durability of the fleet itself does
not depend on this file: a plan is always recomputed from what devices say.
"""

import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from edgeform.apply.outcome import Committed, Outcome, TurnedBack, sentence, word
from edgeform.errors import EdgeformError
from edgeform_wire.receipt import SignedReceipt

FORMAT = 1
READ_TIMEOUT_S = 1.0
"""Writers of this program never keep a reader waiting (WAL); who does is another program."""

_TABLES = """
CREATE TABLE IF NOT EXISTS format (version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, plan_digest TEXT NOT NULL, who TEXT NOT NULL, started TEXT NOT NULL,
    finished TEXT, exit_code INTEGER);
CREATE TABLE IF NOT EXISTS turns (
    run INTEGER NOT NULL REFERENCES runs(id), device TEXT NOT NULL, state TEXT NOT NULL,
    transaction_id TEXT, detail TEXT NOT NULL DEFAULT '', from_generation INTEGER, to_generation INTEGER,
    updated TEXT NOT NULL, PRIMARY KEY (run, device));
CREATE TABLE IF NOT EXISTS receipts (
    site TEXT NOT NULL, device TEXT NOT NULL, seq INTEGER NOT NULL,
    line BLOB NOT NULL, received TEXT NOT NULL,
    PRIMARY KEY (site, device, seq));
"""


class JournalUnusable(EdgeformError):
    summary = "Journal unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One device's turn in a run, as the journal has it."""

    device: str
    state: str
    transaction: str | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One apply; `finished` is empty for a run that goes on or was killed, `counts` are (state, devices)."""

    number: int
    plan_digest: str
    who: str
    started: str
    finished: str
    exit_code: int | None
    counts: tuple[tuple[str, int], ...]


class Journal:
    """The journal of one working directory. Threads may share it: each method is one statement or locked.

    Args:
        may_write: False for looking alone: nothing is made, and an apply under way is not waited for.

    Raises:
        JournalUnusable: the file is from a newer edgeform, or not a journal.
    """

    def __init__(self, path: Path, *, may_write: bool = True) -> None:
        try:
            if may_write:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._db = _connected(str(path))
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.executescript(_TABLES)
            else:
                self._db = _connected(_address_to_read(path), timeout_s=READ_TIMEOUT_S)
            found = self._db.execute("SELECT version FROM format").fetchone()
        except sqlite3.Error as exc:
            raise JournalUnusable(
                f"{path} cannot be used: {exc}",
                hint="Locked: another program holds it; try again. Otherwise move it away: plans are\n"
                "recomputed from the devices, only history is lost.",
            ) from exc
        if found is None and may_write:
            self._db.execute("INSERT INTO format VALUES (?)", (FORMAT,))
        elif found is None or found[0] != FORMAT:
            raise JournalUnusable(
                f"{path} has format {found[0] if found else 'none'}, this edgeform writes {FORMAT}",
                hint="Use the edgeform that wrote it, or move the file away.",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def begin(self, *, plan_digest: str, who: str, now: str, devices: Iterable[str]) -> int:
        """A new run with every device waiting; its number."""
        self._db.execute("BEGIN IMMEDIATE")
        cursor = self._db.execute(
            "INSERT INTO runs (plan_digest, who, started) VALUES (?, ?, ?)", (plan_digest, who, now)
        )
        run = int(cursor.lastrowid or 0)
        self._db.executemany(
            "INSERT INTO turns (run, device, state, updated) VALUES (?, ?, 'waiting', ?)",
            [(run, device, now) for device in devices],
        )
        self._db.execute("COMMIT")
        return run

    def touched(self, run: int, device: str, *, transaction: str | None, now: str) -> None:
        """Before the device is asked to act, and again when it named its transaction."""
        self._db.execute(
            "UPDATE turns SET state = 'touched', transaction_id = ?, updated = ?"
            " WHERE run = ? AND device = ?",
            (transaction, now, run, device),
        )

    def ended(self, run: int, outcome: Outcome, *, now: str) -> None:
        numbers = (
            (outcome.from_generation, outcome.to_generation)
            if isinstance(outcome, Committed | TurnedBack)
            else (None, None)
        )
        self._db.execute(
            "UPDATE turns SET state = ?, detail = ?, from_generation = ?, to_generation = ?,"
            " updated = ? WHERE run = ? AND device = ?",
            (word(outcome), sentence(outcome), *numbers, now, run, outcome.device),
        )

    def noted(self, run: int, device: str, state: str, detail: str, *, now: str) -> None:
        """What happened to a device apart from an outcome: a host key accepted, an enrolment."""
        self._db.execute(
            "UPDATE turns SET state = ?, detail = ?, updated = ? WHERE run = ? AND device = ?",
            (state, detail, now, run, device),
        )

    def finish(self, run: int, *, exit_code: int, now: str) -> None:
        self._db.execute(
            "UPDATE runs SET finished = ?, exit_code = ? WHERE id = ?", (now, exit_code, run)
        )

    def committed_before(self, plan_digest: str) -> frozenset[str]:
        """Devices that any run of this very plan already brought to its end."""
        rows = self._db.execute(
            "SELECT device FROM turns JOIN runs ON runs.id = turns.run"
            " WHERE runs.plan_digest = ? AND turns.state IN ('committed', 'unchanged')",
            (plan_digest,),
        )
        return frozenset(row[0] for row in rows)

    def turns(self, run: int) -> tuple[Turn, ...]:
        rows = self._db.execute(
            "SELECT device, state, transaction_id, detail FROM turns WHERE run = ? ORDER BY device",
            (run,),
        )
        return tuple(Turn(device=r[0], state=r[1], transaction=r[2], detail=r[3]) for r in rows)

    def runs(self, *, at_most: int = 50) -> tuple[Run, ...]:
        """The newest runs, newest first."""
        rows = self._db.execute(
            "SELECT id, plan_digest, who, started, finished, exit_code FROM runs"
            " ORDER BY id DESC LIMIT ?",
            (at_most,),
        ).fetchall()
        return tuple(
            Run(
                number=r[0],
                plan_digest=r[1],
                who=r[2],
                started=r[3],
                finished=r[4] or "",
                exit_code=r[5],
                counts=tuple(
                    self._db.execute(
                        "SELECT state, COUNT(*) FROM turns WHERE run = ? GROUP BY state ORDER BY state",
                        (r[0],),
                    ).fetchall()
                ),
            )
            for r in rows
        )

    def last_run(self, plan_digest: str) -> int | None:
        row = self._db.execute(
            "SELECT MAX(id) FROM runs WHERE plan_digest = ?", (plan_digest,)
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def keep_receipts(
        self, site: str, device: str, receipts: Iterable[SignedReceipt], *, now: str
    ) -> None:
        """Archive receipts; one that is there already stays as it is."""
        self._db.executemany(
            "INSERT OR IGNORE INTO receipts VALUES (?, ?, ?, ?, ?)",
            [(site, device, r.receipt.seq, r.encoded_line(), now) for r in receipts],
        )

    def receipts(self, site: str, device: str) -> tuple[bytes, ...]:
        rows = self._db.execute(
            "SELECT line FROM receipts WHERE site = ? AND device = ? ORDER BY seq", (site, device)
        )
        return tuple(bytes(row[0]) for row in rows)

    def newest_first(self, site: str) -> Iterable[tuple[str, int, bytes]]:
        """(device, seq, line) of every receipt, device by device."""
        rows = self._db.execute(
            "SELECT device, seq, line FROM receipts WHERE site = ? ORDER BY device, seq DESC",
            (site,),
        )
        for device, seq, line in rows:
            yield device, int(seq), bytes(line)

    def last_receipt(self, site: str, device: str) -> int:
        row = self._db.execute(
            "SELECT MAX(seq) FROM receipts WHERE site = ? AND device = ?", (site, device)
        ).fetchone()
        return int(row[0] or 0)

    def export(self) -> Iterable[str]:
        """Every turn as JSON Lines, oldest first."""
        rows = self._db.execute(
            "SELECT runs.id, plan_digest, who, started, device, state, detail, updated FROM turns"
            " JOIN runs ON runs.id = turns.run ORDER BY runs.id, device"
        )
        names = ("run", "plan_digest", "who", "started", "device", "state", "detail", "updated")
        for row in rows:
            yield json.dumps(dict(zip(names, row, strict=True)), sort_keys=True)


def _address_to_read(path: Path) -> str:
    """Where nobody can write, as on a stick that is mounted so, SQLite must not look for files of its own."""
    left = path.with_name(path.name + "-wal")
    is_at_rest = not left.exists() or left.stat().st_size == 0
    is_fixed = is_at_rest and not os.access(path.parent, os.W_OK)
    return f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if is_fixed else ''}"


def _connected(address: str, timeout_s: float = 5.0) -> sqlite3.Connection:
    return sqlite3.connect(
        address,
        timeout=timeout_s,
        uri=address.startswith("file:"),
        isolation_level=None,
        check_same_thread=False,
    )
