"""Writes the parts of the documentation that are made from something else; `--check` only compares.

    python docs/generate_support.py [--check] [--results JUNIT.xml...]

README's support table from docs/support.yaml, docs/reference/dependencies.md from what is installed.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import yaml
from packaging.requirements import Requirement

from edgeform.build.closure import PACKAGES
from edgeform.spec.classes import Classes, builtin_names
from edgeform.spec.decode_device import hardware
from edgeform.spec.fields import block
from edgeform.spec.objects import Catalog

REPOSITORY = Path(__file__).parent.parent
README = REPOSITORY / "README.md"
RESULTS = REPOSITORY / "docs" / "support-results.json"
DEPENDENCIES = REPOSITORY / "docs" / "reference" / "dependencies.md"
BEGIN, END = "<!-- support: begin -->", "<!-- support: end -->"

WHY: Mapping[str, str] = {
    "click": "command line",
    "rich": "progress in a terminal; imported only there",
    "pyyaml": "reads site files, with positions",
    "jsonschema": "checks site files",
    "pyinfra": "SSH, packages, files; only in worker processes",
    "tuf": "signed metadata, on the controller's side",
    "securesystemslib": "keys and signatures of that metadata",
    "cryptography": "keys, and the encrypted file of secrets",
    "hvac": "Vault; declared, and not used yet",
    "requests": "comments and kept plans of a code host, webhooks of drift",
    "uv": "resolves and downloads runtime closures for other platforms",
    "ansible-core": "day zero and vendor roles; only ever run as a process of its own",
    "asyncssh": "SSH servers of the unprivileged lab devices",
    "regopy": "rules in Rego on a saved plan, without a binary",
    "starlette": "the pages of `edgeform serve`",
    "uvicorn": "the server below them",
    "boto3": "models in S3 and in SageMaker's registry",
    "oras": "models in OCI registries",
    "jsonschema-rs": "checks large sites faster, with the same messages",
}
HTMX = "htmx-2.0.11.min.js"
HTMX_LICENCE = "0BSD (`htmx-LICENSE.txt` beside it); the npm package htmx.org's file as it is"
LICENCE_KEYS = ("License-Expression", "License")


Results = dict[str, dict[str, dict[str, int]]]
TESTS: Mapping[str, re.Pattern[str]] = {
    "contract": re.compile(r"test_the_contract\[([a-z]+)-.*\]"),
    "aarch64": re.compile(r"test_the_aarch64_closure_gives_the_golden_answers\[([a-z]+)\]"),
}
"""What is told of an engine, and the tests whose names say so: see tests/contract and tests/device."""


def results_of(reports: list[str], before: Results) -> Results:
    """How often each kind of test was kept, broken and not tried, by engine, from pytest's JUnit files.

    Args:
        before: results of earlier runs; a kind that the reports try anew is counted anew.

    Raises:
        SystemExit: a report without any such test.
    """
    found: dict[tuple[str, str], Counter[str]] = {}
    for report in reports:
        for case in ET.parse(report).iter("testcase"):  # noqa: S314  # pytest's own file
            for kind, pattern in TESTS.items():
                match = pattern.fullmatch(case.get("name", ""))
                if match is not None:
                    found.setdefault((match[1], kind), Counter())[_outcome(case)] += 1
    if not found:
        raise SystemExit("no test of the engines' contract in " + ", ".join(reports))
    results = {engine: dict(kinds) for engine, kinds in before.items()}
    for (engine, kind), counts in found.items():
        results.setdefault(engine, {})[kind] = dict(sorted(counts.items()))
    return {engine: dict(sorted(kinds.items())) for engine, kinds in sorted(results.items())}


def _outcome(case: ET.Element) -> str:
    if case.find("skipped") is not None:
        return "skipped"
    if case.find("failure") is not None or case.find("error") is not None:
        return "broken"
    return "kept"


def engine_table() -> str:
    """The engines' table as Markdown: what the contract suite said, and what needs hardware."""
    engines: dict[str, Any] = yaml.safe_load((REPOSITORY / "docs" / "support.yaml").read_text())[
        "engines"
    ]
    results: Results = json.loads(RESULTS.read_text())
    lines = [
        "| engine | runs here | by contract only | needs hardware |",
        "|---|---|---|---|",
    ]
    for name, entry in engines.items():
        counts = results.get(name, {}).get("contract", {})
        kept, tried = counts.get("kept", 0), sum(counts.values())
        said = f"{kept} of {tried} behaviours" if tried else "never tried"
        on_arm = _on_aarch64(entry, results.get(name, {}).get("aarch64", {}))
        runs = f"{said}, x86-64, real package; {on_arm}" if name in PACKAGES else "no"
        contract = "" if name in PACKAGES else f"{said}, a library in the vendor's place"
        lines.append(f"| {name} | {runs} | {contract} | {entry['needs']} |")
    return "\n".join(lines) + "\n"


def _on_aarch64(entry: Mapping[str, str], counts: Mapping[str, int]) -> str:
    """What a golden inference in the emulated machine came to; `aarch64` of the entry is a known reason."""
    if counts.get("broken"):
        return "aarch64: goldens wrong"
    if not counts.get("kept"):
        return "aarch64: never tried"
    return entry.get("aarch64", "goldens right on aarch64 (emulated Cortex-A72)")


def support_table() -> str:
    """The support table as Markdown."""
    data: dict[str, Any] = yaml.safe_load((REPOSITORY / "docs" / "support.yaml").read_text())
    levels: list[str] = data["levels"]
    lines = [
        "| hardware class | engine | runs here | by contract | needs hardware |",
        "|---|---|---|---|---|",
    ]
    classes = Classes(Catalog())
    for name in (name.removeprefix("builtin/") for name in builtin_names()):
        entry = data["classes"][name]
        found = hardware(
            name,
            classes.names_of(f"builtin/{name}"),
            block(classes.value(f"builtin/{name}"), "hardware"),
        )
        runs = entry["seen"] if entry["here"] == "runs" else "no"
        contract = entry["seen"] if entry["here"] == "contract" else ""
        open_levels = [level for level in levels if entry[level] == "todo"]
        todo = "everything" if open_levels == levels else ", ".join(open_levels)
        lines.append(f"| `{name}` | {found.runtime.engine} | {runs} | {contract} | {todo} |")
    return "\n".join(lines) + "\n"


def readme() -> str:
    """README with its table as support.yaml has it now."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{engine_table()}\n{support_table()}{END}{after}"


def dependencies() -> str:
    """The page of dependencies, from what is installed beside edgeform."""
    default: list[str] = []
    extras: list[tuple[str, str]] = []
    for text in metadata.requires("edgeform") or []:
        requirement = Requirement(text)
        extra = str(requirement.marker).partition("extra == ")[2].strip("\"'")
        if extra:
            extras.append((requirement.name, extra))
        else:
            default.append(requirement.name)
    lines = [
        "# Dependencies",
        "",
        "Made by `docs/generate_support.py` from the metadata of what is installed; checked by `tests/docs`.",
        "Versions are pinned with hashes in `.ci/locks/dev.txt`.",
        "",
        "The device tool and the wire format need the Python standard library and nothing else. A runtime",
        "closure holds its engine, numpy, Pillow and paho-mqtt, and where a stage of a device asks for it",
        "PyAV (BSD-3, FFmpeg inside), gpiod (LGPL-2.1-or-later) or asyncua (LGPL-3.0-or-later, with",
        "cryptography), pinned in `edgeform/build/locks/`.",
        "",
        "## Always installed",
        "",
        "| package | licence | for |",
        "|---|---|---|",
        *(_row(name, "") for name in sorted(default, key=str.lower)),
        "",
        "## Extras",
        "",
        "| package | licence | for | extra |",
        "|---|---|---|---|",
        *(_row(name, f" `{extra}` |") for name, extra in sorted(extras)),
        "",
        "## Carried within the package",
        "",
        "| file | licence | for |",
        "|---|---|---|",
        f"| `edgeform/serve/static/{HTMX}` | {HTMX_LICENCE} | renews parts of the live page |",
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, more: str) -> str:
    return f"| {name} | {_licence(name)} | {WHY[name.lower()]} |{more}"


def _licence(name: str) -> str:
    found = metadata.metadata(name)
    for key in LICENCE_KEYS:
        value = found[key] if key in found else ""  # noqa: SIM401  # its protocol has no get
        if value and "\n" not in value:
            return str(value)
    classifiers = [
        c.rpartition(" :: ")[2] for c in found.get_all("Classifier") or [] if "License ::" in c
    ]
    return ", ".join(classifiers) or "not stated in its metadata"


def main(arguments: list[str]) -> int:
    """Write what is out of date; with --check, only say so and return 1."""
    if "--results" in arguments:
        reports = arguments[arguments.index("--results") + 1 :]
        results = results_of(reports, json.loads(RESULTS.read_text()))
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    stale = [
        (path, content)
        for path, content in ((README, readme()), (DEPENDENCIES, dependencies()))
        if not path.exists() or path.read_text() != content
    ]
    for path, content in stale:
        sys.stdout.write(f"{path.relative_to(REPOSITORY)} is out of date\n")
        if "--check" not in arguments:
            path.write_text(content)
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
