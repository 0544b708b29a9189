"""The controller's bytes: every file once, by the digest of its content.

It keeps objects, knows which of them are artifact manifests, carries them to and from a remote, and
collects what nothing refers to. It does not decide what is trusted: signatures are `trust`'s.
"""

from edgeform.store.artifacts import Artifacts
from edgeform.store.gc import GcPlan, plan_gc, run_gc
from edgeform.store.objects import Objects
from edgeform.store.remote import DirectoryRemote, Remote, Transferred, pull, push
from edgeform.store.roots import Roots
from edgeform.store.trees import pull_files, push_files

__all__ = [
    "Artifacts",
    "DirectoryRemote",
    "GcPlan",
    "Objects",
    "Remote",
    "Roots",
    "Transferred",
    "plan_gc",
    "pull",
    "pull_files",
    "push",
    "push_files",
    "run_gc",
]
