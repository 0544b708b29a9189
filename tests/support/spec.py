"""Sites for tests: written from texts, loaded from a folder called `site` so that messages are the same everywhere."""

import textwrap
from pathlib import Path

from edgeform.diagnostics import rendered
from edgeform.spec.load import Loaded, load

CASES = Path(__file__).parents[1] / "cases" / "spec"
HEAD = "api_version: edgeform/v1\n"


def an_object(kind: str, name: str, spec: str = "{}") -> str:
    """One document; `spec` is flow YAML, or block YAML of any indentation."""
    body = textwrap.dedent(spec).strip("\n")
    body = f" {body}" if "\n" not in body else "\n" + textwrap.indent(body, "  ")
    return f"{HEAD}kind: {kind}\nmetadata: {{name: {name}}}\nspec:{body}\n"


def some_devices(*entries: str, common: str = "{}", name: str = "all") -> str:
    """A DeviceList of entries in flow YAML."""
    listed = "".join(f"    - {entry}\n" for entry in entries)
    return (
        f"{HEAD}kind: DeviceList\nmetadata: {{name: {name}}}\n"
        f"spec:\n  common: {common}\n  devices:\n{listed}"
    )


def base() -> str:
    """The Site `plant` with class `pc`, model `digits` and pipeline `gate`."""
    return (CASES / "base.yaml").read_text()


def write_site(folder: Path, files: dict[str, str]) -> Path:
    """The folder `site` below `folder`, with these files; the registry's folder and two data sets exist."""
    site = folder / "site"
    for name, text in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (site / "model").mkdir(exist_ok=True, parents=True)
    for name in ("calibration", "evaluation"):
        (site / "data" / name).mkdir(parents=True, exist_ok=True)
        (site / "data" / name / "dataset.json").write_text("{}")
    return site


def a_site(folder: Path, *documents: str, with_base: bool = True) -> Loaded:
    """What `load` says about these documents; the base's objects stand around them."""
    files = {"case.yaml": "---\n".join(documents)}
    if with_base:
        files["base.yaml"] = base()
    return load(write_site(folder, files))


def said(loaded: Loaded) -> str:
    """The diagnostics as a person sees them."""
    return "\n\n".join(rendered(d) for d in loaded.diagnostics) + "\n"


def codes(loaded: Loaded) -> list[str]:
    return [d.code for d in loaded.diagnostics]
