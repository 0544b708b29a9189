"""The device tool this installation carries, as an artifact, and the roots devices are held to."""

from pathlib import Path

from edgeform.build.tool import FILE_NAME, build_tool, tool_bytes
from edgeform.plan import ShippedTool
from edgeform.store.artifacts import Artifacts
from edgeform.version import VERSION
from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact, ArtifactFile, Requires

STATE_FORMATS = [1]
METADATA_FOLDER = Path("repository", "metadata")
"""Below the trust folder. Not imported from `edgeform.trust`, whose signers take half a second: `plan` signs
nothing and comes through here."""


def tool_artifact() -> Artifact:
    """The manifest of the tool that belongs to this installation."""
    content = tool_bytes()
    return Artifact(
        kind="tool",
        name="edgeform-device",
        version=VERSION,
        variant="py3",
        epoch=0,
        requires=Requires(),
        files=(
            ArtifactFile(
                path=FILE_NAME,
                size_bytes=len(content),
                mode="0644",
                digest=digests.of_bytes(content),
            ),
        ),
        metadata={"tool_version": VERSION, "state_formats": STATE_FORMATS},
    )


def shipped_tool() -> ShippedTool:
    """The tool as the planner sees it."""
    artifact = tool_artifact()
    return ShippedTool(
        version=artifact.version,
        artifact=artifact.digest,
        file=artifact.files[0].digest,
        size_bytes=artifact.size_bytes,
    )


def store_tool(artifacts: Artifacts) -> Path:
    """The tool's file in the store, put there with its manifest if it was not."""
    artifact = tool_artifact()
    if artifacts.missing(artifact.digest):
        path, _ = build_tool(artifacts.objects.folder / "tool")
        artifacts.add(artifact, {FILE_NAME: path})
    return artifacts.objects.verified(artifact.files[0].digest)


def root_digests(trust_dir: Path) -> tuple[str, ...]:
    """Digests of every published root, oldest first; empty without a repository."""
    metadata = trust_dir / METADATA_FOLDER
    found = sorted(metadata.glob("*.root.json"), key=lambda p: int(p.name.partition(".")[0]))
    return tuple(digests.of_file(str(path)) for path in found)
