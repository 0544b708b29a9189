"""update.yml for pyinfra."""

from pyinfra import host
from pyinfra.operations import files, server, systemd

files.directory(path="/opt/peer", mode="755", _sudo=True)
files.put(src=host.data.model, dest=f"/opt/peer/{host.data.peer}.onnx", mode="644", _sudo=True)
systemd.service(service="edgeform-pipeline@digits-gate", running=True, restarted=True, _sudo=True)
server.shell(commands=["python3 /opt/peer/check.py"], _sudo=True)
