"""Deployments and stored bytes -> what has to reach each device."""

from dataclasses import dataclass

from edgeform.apply.shipment import Blob, Shipment, Tool
from edgeform.cli.planning import Wanted
from edgeform.cli.trusting import SiteTrust
from edgeform.domain.desired import Desired
from edgeform.domain.site import Device
from edgeform.plan import Changed, stages
from edgeform.plan import changes as c
from edgeform.store.artifacts import Artifacts
from edgeform_wire.deployment import Deployment

MARGIN_S = 120.0
"""Beyond the device's own deadline: uploads are over by then, this is for reconnecting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dock:
    """Where shipments are made up."""

    wanted: Wanted
    trust: SiteTrust
    artifacts: Artifacts

    def shipment(self, changed: Changed, deployment: Deployment, plan_digest: str) -> Shipment:
        """One device's delivery; what the device lacks of it is proven before it is sent."""
        device = self._device(changed.device)
        desired = self._desired(changed.device)
        listed = tuple(a.digest for a in deployment.generation.artifacts)
        if deployment.policy.tool is not None:
            listed = (*listed, deployment.policy.tool)
        manifests = [self.artifacts.get(digest) for digest in listed]
        paths = [m.target_path for m in manifests]
        policy = deployment.policy
        return Shipment(
            site=deployment.site,
            device=deployment.device,
            prefix=device.prefix,
            number=deployment.number,
            plan_digest=plan_digest,
            metadata=self.trust.metadata_for([deployment.target_path, *paths]),
            blobs=(*self._blobs(listed), self._document(deployment)),
            tool=self._tool(changed),
            secrets=tuple(
                (s.name, dict(desired.secrets)[s.name], s.hmac)
                for s in deployment.generation.secrets
            ),
            confirm=policy.confirm,
            wait_s=policy.deadline_s + policy.confirm_s + policy.soak_s + MARGIN_S,
            from_generation=changed.base.generation,
        )

    def _blobs(self, listed: tuple[str, ...]) -> tuple[Blob, ...]:
        names = {digest for artifact in listed for digest in self.artifacts.closure(artifact)}
        objects = self.artifacts.objects
        return tuple(
            Blob(digest=name, size_bytes=objects.size_bytes(name), path=objects.path(name))
            for name in sorted(names)
        )

    def _document(self, deployment: Deployment) -> Blob:
        content = deployment.encoded()
        digest = self.artifacts.objects.put(content)
        return Blob(
            digest=digest, size_bytes=len(content), path=self.artifacts.objects.path(digest)
        )

    def _tool(self, changed: Changed) -> Tool | None:
        wants = stages(changed.changes).tool
        if not any(isinstance(x, c.InstallTool | c.Enrol) for x in wants):
            return None
        root = self.trust.repository.metadata / "1.root.json"
        return Tool(
            path=self.artifacts.objects.path(self.wanted.tool.file),
            digest=self.wanted.tool.file,
            root=root.read_text(),
        )

    def _device(self, name: str) -> Device:
        found = self.wanted.site.device(name)
        if found is None:
            raise AssertionError(f"{name} is in the plan and not in the site it was made from")
        return found

    def _desired(self, name: str) -> Desired:
        return next(d for d in self.wanted.resolution.desired if d.device == name)
