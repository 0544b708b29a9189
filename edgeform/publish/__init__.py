"""A plan becomes one signed deployment per device: the only step that needs keys.

`compile_deployments` is pure; `publish_plan` stages its result and the artifacts' manifests with a trust
repository, which signs and publishes. `apply` only carries what is published here.
"""

from edgeform.publish.deployments import compile_deployments
from edgeform.publish.publisher import TrustRepository, publish_plan

__all__ = ["TrustRepository", "compile_deployments", "publish_plan"]
