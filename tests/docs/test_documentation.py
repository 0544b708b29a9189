"""The documentation says what is so: commands, links, tables, hints, and nothing of the machine it was written on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from edgeform.build.closure import ClosureRequest, lock_of
from edgeform.build.failure import ClosureUnavailable
from edgeform.cli.main import VERBS, cli
from edgeform.domain.stages.extras import extras_of
from edgeform.errors import WORST_FIRST
from edgeform.spec.classes import builtin_names
from edgeform.spec.load import load
from edgeform_device.goldens import LOOSE, TIGHT

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md"))
    if "decisions" not in path.parts
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MENTION = re.compile(r"edgeform ([a-z][a-z-]+)")
"""A verb in a command; prose says `edgeform`, too, so only lines that begin a command are looked at."""

text_of = {path: path.read_text() for path in PAGES}


def words_after_edgeform(text):
    """The verbs of the commands in a text: in code, or on a line of a block."""
    code = re.findall(r"`(edgeform [^`\n]+)`", text)
    code += re.findall(r"^(?:\$ )?(edgeform [^\n]+)$", text, re.MULTILINE)
    return {m[1] for line in code if (m := MENTION.match(line))}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_the_documentation(verb):
    assert any(verb in words_after_edgeform(text) for text in text_of.values())


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_no_page_names_a_verb_that_there_is_not(page):
    assert words_after_edgeform(text_of[page]) <= set(VERBS)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(text_of[page]):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^a-z0-9 -]", "", t.lower()).replace(" ", "-") for t in titles
            }


def test_what_is_generated_is_up_to_date():
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "docs" / "generate_support.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (
        done.stdout + done.stderr + "make it with: python docs/generate_support.py"
    )


def test_the_quality_list_has_every_class_and_every_level():
    data = yaml.safe_load((REPOSITORY / "docs" / "support.yaml").read_text())
    assert set(data["classes"]) == {name.removeprefix("builtin/") for name in builtin_names()}
    for name, entry in data["classes"].items():
        assert entry["here"] in {"runs", "contract"}, name
        for level in data["levels"]:
            assert entry[level] in {"done", "todo"} or entry[level].startswith("exempt: "), name


def test_the_quality_list_says_of_each_closure_whether_it_can_be_built():
    data = yaml.safe_load((REPOSITORY / "docs" / "support.yaml").read_text())["classes"]
    site = load(REPOSITORY / "site" / "factory").checked()
    for device in site.devices:
        for name in device.hardware.lineage:
            entry = data.get(name.removeprefix("builtin/"))
            if entry is None or device.hardware.name not in (name, device.hardware.lineage[0]):
                continue
            wanted = ClosureRequest(
                engine=device.hardware.runtime.engine,
                arch=device.hardware.arch,
                glibc=device.hardware.glibc,
                python=device.hardware.python,
                extras=extras_of(device.pipelines),
            )
            if name != device.hardware.lineage[0]:
                continue
            try:
                lock_of(wanted)
                said = "done"
            except ClosureUnavailable:
                said = "todo"
            assert entry["closure"] == said, name


def test_the_table_of_tolerances_is_the_one_the_tool_judges_by():
    page = (REPOSITORY / "docs" / "reference" / "checks.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (\S+) \| (\d+) dB \| (\S+) \| (\d+) dB \|", page, re.MULTILINE)
    told = {r[0]: ((float(r[1]), float(r[2])), (float(r[3]), float(r[4]))) for r in rows}
    assert told == {name: (TIGHT[name], LOOSE[name]) for name in TIGHT}


def test_every_exit_code_is_explained_and_their_order_is_the_real_one():
    page = (REPOSITORY / "docs" / "reference" / "exit-codes.md").read_text()
    listed = {int(n) for n in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert set(WORST_FIRST) | {0, 1, 10, 64} <= listed
    order = re.search(r"person wins: ([\d, ]+)\.", page)[1]
    assert tuple(int(n) for n in order.split(",")) == WORST_FIRST


def test_the_tests_that_the_security_page_names_are_there():
    page = (REPOSITORY / "docs" / "security.md").read_text()
    named = set(re.findall(r"`(tests/[\w/.]+)`", page))
    assert named
    assert [name for name in sorted(named) if not (REPOSITORY / name).exists()] == []
    assert [int(n) for n in re.findall(r"^\| A(\d+) \|", page, re.MULTILINE)] == list(range(1, 21))


def tracked():
    listed = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files", "-z"], capture_output=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a Git checkout: which files are tracked cannot be asked")
    return [REPOSITORY / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]


OF_A_MACHINE = re.compile(
    rb"/wor" rb"k/|/tmp/w" rb"t/|/opt/py" rb"pi|/home/(?!edge\b|[a-z]*/\.)[a-z]+/|/Us" rb"ers/[a-z]"
)
PACKAGE_HOSTS = re.compile(
    rb"pyp"
    rb"i\.org|pythonhos"
    rb"ted\.org|registry\.np"
    rb"mjs|conda\.ana"
    rb"conda|proxy\.gol"
    rb"ang"
)


@pytest.mark.parametrize("pattern", [OF_A_MACHINE, PACKAGE_HOSTS], ids=["paths", "hosts"])
def test_nothing_of_the_machine_it_was_written_on_is_in_the_tree(pattern):
    found = {}
    for path in tracked():
        if not path.is_file() or path.is_symlink():
            continue
        hits = {m.group().decode() for m in pattern.finditer(path.read_bytes())}
        if hits:
            found[str(path.relative_to(REPOSITORY))] = sorted(hits)
    assert found == {}


def commands_in_blocks(text):
    """Whole commands of the blocks that a reader would copy, lines joined, comments and pipes cut off."""
    for block in re.findall(r"```sh[^\n]*\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            bare = re.split(r" #|[|<>;&]", line.strip())[0]
            if bare.startswith("edgeform "):
                yield bare


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_every_option_in_a_command_is_one_the_verb_has(page):
    for line in commands_in_blocks(text_of[page]):
        context = click.Context(cli, info_name="edgeform")
        command = cli
        words = line.split()[1:]
        while isinstance(command, click.Group):
            command = command.get_command(context, words.pop(0))
            assert command is not None, line
        known = {opt for p in command.params for opt in (*p.opts, *p.secondary_opts)} | {"--help"}
        assert {w.split("=")[0] for w in words if re.match(r"--?[a-z]", w)} <= known, line
