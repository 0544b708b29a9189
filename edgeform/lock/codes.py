"""EF25xx: what can be wrong with `edgeform.lock`."""

from edgeform.spec.codes import Code

MISSING = Code(
    code="EF2501",
    summary="No lock",
    text="The site has no `edgeform.lock` yet, so nothing says which versions to install.",
    cause="`edgeform lock` has not run, or its result is not in Git.",
    example="edgeform lock site/lab",
)
BROKEN = Code(
    code="EF2502",
    summary="Lock is damaged",
    text="`edgeform.lock` is written by edgeform and is not what it wrote: it is no JSON, or an entry"
    " lacks something. Nothing is planned with half a lock.",
    cause="A merge left conflict marks, or the file was edited by hand.",
    example="git checkout edgeform.lock     # or make it again: edgeform lock",
)
TWICE = Code(
    code="EF2503",
    summary="Locked twice",
    text="Two entries of the lock speak about the same thing.",
    cause="A merge took both sides.",
    example="edgeform lock     # writes it again",
)
ALL = (MISSING, BROKEN, TWICE)
