"""Staging deployments and manifests with a trust repository, and having them signed.

What a device will be told to install must be wholly here before anything is signed: a signature on
something that cannot be delivered would only be found out on the device.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from edgeform import events
from edgeform.domain.site import Site
from edgeform.errors import Corrupt, EdgeformError
from edgeform.plan import Plan, Resolution
from edgeform.publish.deployments import compile_deployments
from edgeform.publish.sealing import Sealing
from edgeform.store import Artifacts
from edgeform_wire import deployment
from edgeform_wire.deployment import Deployment
from edgeform_wire.errors import WireError

Custom = Mapping[str, str | int | bool | None]


class TrustRepository(Protocol):
    """What publishing needs of a trust repository; `edgeform.trust` keeps the real one."""

    def target(self, path: str) -> bytes | None:
        """The published bytes of a target; None when nobody signed one."""

    def add_target(self, path: str, content: bytes, custom: Custom) -> None:
        """Stage a target; the same bytes and custom fields again change nothing."""

    def publish(self, now: datetime) -> int:
        """Sign and publish what is staged; the new timestamp's version.

        Raises:
            NotTrusted: a role stays below its threshold, and nothing is published.
        """


def publish_plan(
    plan: Plan,
    resolution: Resolution,
    site: Site,
    *,
    plan_digest: str,
    artifacts: Artifacts,
    trust: TrustRepository,
    now: datetime,
    listener: events.Listener = events.ignore,
    sealing: Sealing | None = None,
) -> tuple[Deployment, ...]:
    """The deployments of a plan, signed and published together with their artifacts' manifests.

    Secrets of devices that nobody reaches are sealed and signed with them, where there is a `sealing`.
    Publishing a plan again before anybody applied it changes nothing: the same deployments stand.

    Raises:
        Stale: site or lock are no longer what the plan was made from.
        Corrupt: an artifact is not wholly in the store; nothing is signed then.
        NotTrusted: the keys at hand are not enough; nothing is published then.
    """
    standing = _standing(plan, site, trust)
    compiled = compile_deployments(
        plan,
        resolution,
        site,
        plan_digest=plan_digest,
        published={name: found.number for name, found in standing.items()},
        issued_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    found = tuple(_same_or_new(standing.get(new.device), new) for new in compiled)
    for digest in _artifacts(found):
        _stage_artifact(digest, artifacts, trust)
    for each in found:
        trust.add_target(each.target_path, each.encoded(), {"number": each.number})
    if sealing is not None:
        for secrets in sealing.sealed(found, site, resolution, trust.target):
            trust.add_target(secrets.target_path, secrets.encoded(), {})
    version = trust.publish(now)
    listener(events.Published(devices=len(found), timestamp_version=version))
    return found


def _standing(plan: Plan, site: Site, trust: TrustRepository) -> dict[str, Deployment]:
    """What is published for the plan's devices now."""
    found = {}
    for changed in plan.changed:
        path = deployment.target_path(site.name, changed.device)
        document = trust.target(path)
        if document is None:
            continue
        try:
            found[changed.device] = deployment.decode(document)
        except WireError as exc:
            raise Corrupt(f"The published deployment is unreadable: {exc}", address=path) from exc
    return found


def _same_or_new(standing: Deployment | None, new: Deployment) -> Deployment:
    """The published deployment when it differs from the new one in number and date only."""
    if standing is None:
        return new
    same_but = {"number": 0, "issued_at": ""}
    if (
        standing.to_json() | same_but == new.to_json() | same_but
        and standing.number + 1 == new.number
    ):
        return standing
    return new


def _artifacts(deployments: Iterable[Deployment]) -> tuple[str, ...]:
    digests = {ref.digest for each in deployments for ref in each.generation.artifacts}
    digests |= {each.policy.tool for each in deployments if each.policy.tool is not None}
    return tuple(sorted(digests))


def _stage_artifact(digest: str, artifacts: Artifacts, trust: TrustRepository) -> None:
    missing = artifacts.missing(digest)
    if missing:
        raise Corrupt(
            f"Artifact {digest} is not wholly in the store: {len(missing)} of its objects are missing.",
            hint="Fetch it:\n    edgeform store pull DIRECTORY\nor build it:\n    edgeform lock --update '*'",
        )
    manifest = artifacts.get(digest)
    try:
        trust.add_target(manifest.target_path, manifest.encoded(), {"epoch": manifest.epoch})
    except EdgeformError as exc:
        exc.address = exc.address or manifest.target_path
        raise
