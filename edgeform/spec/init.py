"""What `edgeform init DIR` writes: a small site, one object per file, valid as it stands.

Every file begins with the line that tells an editor which schema it follows; the schema lies beside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeform.domain.names import is_name
from edgeform.errors import UsageError
from edgeform.shipped import shipped

SCHEMA_FILE = "site.schema.json"

_SITE = """\
kind: Site
metadata: {{name: {name}}}
spec:
  registries:
    - {{name: local, kind: directory, path: model}}   # model/NAME/VERSION/...
  defaults:
    connect: {{user: edgeform, become: sudo, known_hosts: known_hosts}}
"""
_CLASS = """\
kind: HardwareClass
metadata: {name: edge-pc}
spec:
  extends: builtin/linux-x86_64          # edgeform explain device NAME --path hardware
  runtime: {threads: 2}
"""
_MODEL = """\
kind: Model
metadata: {name: classifier}
spec:
  source: {registry: local}
  version: {semver: "^1.0"}              # `edgeform lock` finds the newest and pins it
  variants:
    - {name: onnx-f32, engine: onnxruntime, file: model.onnx, goldens: golden}
"""
_PIPELINE = """\
kind: Pipeline
metadata: {name: camera}
spec:
  vars:
    frames: {type: string, description: Folder on the device that images arrive in.}
  capture:
    image_directory: {path: "${vars.frames}", after: delete}
  preprocess:
    - resize: {width: 224, height: 224, filter: area}
    - colour: {to: rgb}
    - normalise: {scale: 0.00392156862745098}
    - layout: {order: nchw}
  infer: {model: classifier}
  postprocess:
    classify: {top_k: 3, labels: labels.txt}
  action:
    - store: {max_bytes: "64MiB"}
  checks: {golden: true}
"""
_DEVICES = """\
kind: DeviceList
metadata: {name: first}
spec:
  common:
    class: edge-pc
    pipelines:
      - {name: camera, vars: {frames: /var/lib/frames}}
  devices:
    - {name: edge-01, labels: {place: office}, connect: {host: 192.0.2.11}}   # your device's address
"""
_ROLLOUT = """\
kind: Rollout
metadata: {name: default}
spec: {max_parallel: 10}
"""
_KNOWN_HOSTS = (
    "# Host keys of your devices; `edgeform enroll` adds them when you have compared them.\n"
)
_IGNORE = ".edgeform/\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSite:
    """The files of a new site by their path in its folder."""

    files: Mapping[str, str]


def new_site(name: str) -> NewSite:
    """The files of a new site.

    Raises:
        UsageError: the name cannot name a site.
    """
    if not is_name(name):
        raise UsageError(
            f"{name!r} cannot name a site.",
            hint="Use lower-case letters, digits, `.`, `_` and `-`; name the folder so, or give --name.",
        )
    objects = {
        "site.yaml": _SITE.format(name=name),
        "classes/edge-pc.yaml": _CLASS,
        "models/classifier.yaml": _MODEL,
        "pipelines/camera.yaml": _PIPELINE,
        "devices/first.yaml": _DEVICES,
        "rollouts/default.yaml": _ROLLOUT,
    }
    files = {path: _modeline(path) + text for path, text in objects.items()}
    files[SCHEMA_FILE] = shipped("schemas", SCHEMA_FILE).read_text(encoding="utf-8")
    files["known_hosts"] = _KNOWN_HOSTS
    files[".gitignore"] = _IGNORE
    files["model/README.md"] = (
        "Models lie here as `NAME/VERSION/...`, for example `classifier/1.0.0/model.onnx`.\n"
    )
    return NewSite(files=files)


def _modeline(path: str) -> str:
    up = "../" * path.count("/") or "./"
    return f"# yaml-language-server: $schema={up}{SCHEMA_FILE}\napi_version: edgeform/v1\n"


def write(folder: Path, site: NewSite) -> tuple[Path, ...]:
    """Write the files; the paths that were written.

    Raises:
        UsageError: one of them is already there; nothing is written then.
    """
    there = [folder / path for path in site.files if (folder / path).exists()]
    if there:
        listed = ", ".join(str(path) for path in there[:5])
        raise UsageError(
            f"{listed} already there; nothing was written.",
            hint="Choose an empty folder.",
        )
    written = []
    for path, text in site.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        written.append(target)
    return tuple(written)
