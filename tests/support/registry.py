"""Folders of models, as the directory registry reads them."""

import json
from pathlib import Path


def a_registry(folder: Path, models: dict[str, dict[str, dict[str, bytes]]]) -> Path:
    """`{model: {version: {path: bytes}}}` as files below `folder`."""
    for model, versions in models.items():
        for version, files in versions.items():
            for path, content in files.items():
                target = folder / model / version / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
    return folder


def aliases(folder: Path, model: str, **known: str) -> None:
    (folder / model / "aliases.json").write_text(json.dumps(known))
