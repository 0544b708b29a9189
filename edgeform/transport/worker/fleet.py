"""The devices of one worker process, in its one pyinfra State."""

import gevent
from pyinfra.api import Config, Host, Inventory, State
from pyinfra.api.state import StateHostMeta, StateHostResults, StateStage
from pyinfra.context import ctx_state

from edgeform.transport.base import Target
from edgeform.transport.worker.edgelocal import EdgeLocal
from edgeform.transport.worker.edgessh import EdgeSSH

MAX_PARALLEL = 256
"""Greenlets of one State; how many devices are in flight is decided by the rollout."""

Connector = EdgeSSH | EdgeLocal


class Fleet:
    """Connectors by device. A process has one of these, because pyinfra's State is a global."""

    def __init__(self) -> None:
        self._inventory = Inventory(([], {}))
        # No dry run, ever: operations look at the device when they run, and say afterwards what they did.
        self._state = State(check_for_changes=False)
        # Not through the constructor: an inventory without hosts counts as none there.
        self._state.init(self._inventory, Config(FAIL_PERCENT=100, PARALLEL=MAX_PARALLEL))
        self._state.set_stage(StateStage.Execute)
        self._state.is_executing = True
        ctx_state.set(self._state)
        self._targets: dict[str, Target] = {}

    @property
    def state(self) -> State:
        return self._state

    def connector(self, target: Target) -> Connector:
        """The device's connector; a new one if how it is reached has changed since."""
        return self.host(target).connector  # type: ignore[no-any-return]

    def host(self, target: Target) -> Host:
        if self._targets.get(target.name) == target:
            return self._inventory.hosts[target.name]
        self.forget(target.name)
        connector_cls = EdgeLocal if target.connect.mode == "local" else EdgeSSH
        host = Host(target.name, self._inventory, [], connector_cls=connector_cls)
        self._inventory.hosts[target.name] = host
        self._state.ops[host] = {}
        self._state.meta[host] = StateHostMeta()
        self._state.results[host] = StateHostResults()
        host.init(self._state)
        host.connector.aim(target)
        self._targets[target.name] = target
        return host

    def forget(self, name: str) -> None:
        """Close what is open to a device, without waiting for it."""
        host = self._inventory.hosts.pop(name, None)
        self._targets.pop(name, None)
        if host is None:
            return
        for table in (self._state.ops, self._state.meta, self._state.results):
            table.pop(host, None)
        gevent.spawn(host.connector.disconnect)

    def close(self) -> None:
        """Every connection is closed: pyinfra's own disconnect leaves them open."""
        for host in tuple(self._inventory):
            host.connector.disconnect()
