"""The tool replaces itself: proven first, switched by rename, the old one kept until the next boot.

Until then the recovery unit runs the new tool and, where that fails, the old one. A new tool writes the
state in the format the old one reads, so either may find what the other left.
"""

import os
from dataclasses import dataclass
from typing import Optional, Tuple

from edgeform_device import bytecode, command, systemd, toolfile
from edgeform_device.durable import Disk
from edgeform_device.errors import Held, Refused
from edgeform_device.identity import Identity
from edgeform_device.layout import Layout
from edgeform_device.records import Quarantined, State
from edgeform_device.store import Store
from edgeform_wire import canonical
from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact
from edgeform_wire.fields import Fields

PROOF_S = 60.0
MAX_TOOL_BYTES = 64 * 1024 * 1024
SUFFIX = ".pyz"


@dataclass(frozen=True)
class Trial:
    """A tool that no boot has recovered with yet, and the one to return to."""

    current: str
    previous: str
    boot_id: str


class ToolSlot:
    """The tool of one prefix.

    Args:
        running: digest of the tool that runs this code; None outside a .pyz, which is never replaced.
        folder: where the recovery unit is.
    """

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        who: Identity,
        boot_id: str,
        running: Optional[str],
        folder: str = systemd.PERMANENT_DIR,
    ) -> None:
        self._disk = disk
        self._layout = layout
        self._has_unit = who.services == "systemd"
        self._folder = os.path.join(who.root, folder.lstrip("/"))
        self._boot_id = boot_id
        self._running = running

    def update(self, artifact: Artifact) -> bool:
        """Make the artifact's tool the one in use; False when it is that already.

        Raises:
            Refused: it does not prove itself on this device; nothing was switched.
            Held: it did not survive a boot here before.
        """
        wanted = artifact.files[0].digest
        if self._running is None or wanted in (self._running, self._installed()):
            return False
        held = State(self._disk, self._layout).quarantine().get(wanted)
        if held is not None:
            raise Held(f"This device tool failed here before. {held.when}: {held.reason}")
        path = self._layout.tool(wanted)
        content = Store(self._layout, self._disk).read(wanted, MAX_TOOL_BYTES)
        if self._disk.read(path) != content:
            self._disk.write_file(path, content)
        self._prove(path)
        self._write_trial(Trial(wanted, self._running, self._boot_id))
        self._switch(wanted, fallback=self._running)
        return True

    def settle(self, wall_time: str) -> str:
        """After a boot: keep the tool that recovered, and forget the other; what was done, for people."""
        trial = self._trial()
        if trial is None or trial.boot_id == self._boot_id or self._running is None:
            return ""
        if self._running == trial.current:
            self._switch(trial.current)
            self._remove_all_but(trial.current)
            self._disk.remove(self._layout.state("tool"))
            return (
                f"the tool {digests.short(trial.current)} has recovered; the one before is removed"
            )
        state = State(self._disk, self._layout)
        held = state.quarantine()
        reason = "It did not recover at boot; the tool before it did."
        held[trial.current] = Quarantined(reason, wall_time, "tool", 0)
        state.write_quarantine(held)
        self._switch(trial.previous)
        self._disk.remove(self._layout.state("tool"))
        return f"the tool {digests.short(trial.current)} did not recover; back to the one before"

    def _prove(self, path: str) -> None:
        """Have the new tool test itself and look at the state as it is, changing nothing."""
        for arguments in (("selftest",), ("recover", "--dry-run")):
            code, out, err = command.attempt(self._command(path) + arguments, PROOF_S)
            if code != 0:
                raise Refused(
                    f"The new device tool failed `{' '.join(arguments)}`, so it was not taken.",
                    (out or err).strip()[-400:],
                )

    def _switch(self, wanted: str, fallback: Optional[str] = None) -> None:
        path = self._layout.tool(wanted)
        if self._has_unit:
            systemd.install_recovery(
                self._disk,
                self._layout,
                self._command(path),
                self._folder,
                fallback=None if fallback is None else self._command(self._layout.tool(fallback)),
            )
        toolfile.write_command(self._disk, self._layout, wanted)
        bytecode.write(path)

    def _remove_all_but(self, kept: str) -> None:
        mine = digests.hex_of(kept) + SUFFIX
        for name in self._disk.names(self._layout.tool_dir):
            if not name.startswith(mine):
                self._disk.remove(os.path.join(self._layout.tool_dir, name))

    def _command(self, path: str) -> Tuple[str, ...]:
        return toolfile.command_of(self._layout, path)

    def _installed(self) -> Optional[str]:
        """The tool that was switched to in this boot already, while the old one still runs."""
        trial = self._trial()
        return None if trial is None else trial.current

    def _trial(self) -> Optional[Trial]:
        content = self._disk.read(self._layout.state("tool"))
        if content is None:
            return None
        fields = Fields(canonical.decode(content, "state/tool"), "state/tool")
        fields.integer("format", minimum=1)
        found = Trial(fields.digest("current"), fields.digest("previous"), fields.text("boot_id"))
        fields.done()
        return found

    def _write_trial(self, trial: Trial) -> None:
        value = canonical.encode(dict(vars(trial), format=1))
        self._disk.write_file(self._layout.state("tool"), value)
