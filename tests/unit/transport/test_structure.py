"""Rules about the worker that only its source can show; the numbers are pyinfra's gotchas."""

import ast
import subprocess
import sys
from pathlib import Path

import edgeform.transport

TRANSPORT = Path(edgeform.transport.__file__).parent
WORKER = TRANSPORT / "worker"


def _tree(path):
    return ast.parse(path.read_text())


def test_monkey_patching_is_the_first_thing_that_happens():
    # Gotcha 6: without it pyinfra's time limits do nothing.
    first, second = _tree(WORKER / "__main__.py").body[:2]
    assert isinstance(first, ast.ImportFrom)
    assert first.module == "gevent"
    assert ast.unparse(second) == "monkey.patch_all()"
    for package in (TRANSPORT.parent, TRANSPORT, WORKER):
        imports = [
            n
            for n in ast.walk(_tree(package / "__init__.py"))
            if isinstance(n, (ast.Import, ast.ImportFrom))
        ]
        assert all(getattr(n, "module", "") == "edgeform.version" for n in imports), package


def test_the_worker_process_is_patched_before_paramiko_and_pyinfra_are_loaded():
    script = (
        "import runpy, sys\n"
        "from gevent import monkey\n"
        "real = monkey.patch_all\n"
        "def watched(*a, **k):\n"
        "    print(sorted(m for m in ('paramiko', 'pyinfra', 'threading') if m in sys.modules and m != 'threading'))\n"
        "    raise SystemExit\n"
        "monkey.patch_all = watched\n"
        "runpy.run_module('edgeform.transport.worker', run_name='__main__')\n"
    )
    said = subprocess.run(
        (sys.executable, "-c", script), check=True, capture_output=True, text=True
    )
    assert said.stdout == "[]\n"


def test_the_worker_leaves_out_what_nobody_there_uses():
    script = (
        "import sys\n"
        "from gevent import monkey\n"
        "monkey.patch_all()\n"
        "from edgeform.transport.worker.later import import_later\n"
        "import_later('invoke')\n"
        "import edgeform.transport.worker.serve\n"
        "import paramiko.config\n"
        "print('invoke.runners' in sys.modules, paramiko.config.invoke.__name__)\n"
        "import invoke\n"
        "print(callable(invoke.run), 'invoke.runners' in sys.modules)\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", script), check=True, capture_output=True, text=True
    )
    # pyinfra has put a class of its own in its place; whoever asks for the real one still gets it.
    assert done.stdout.splitlines() == ["False FakeInvoke", "True True"]


def test_files_are_never_put():
    # Gotcha 3: an interrupted put leaves a torn file in place of the good one.
    for path in TRANSPORT.rglob("*.py"):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "pyinfra.operations"
            ):
                assert "files" not in [alias.name for alias in node.names], path
                assert not node.module.startswith("pyinfra.operations.files"), path
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"open_sftp", "putfo", "from_transport"}, path


def test_the_connectors_refuse_to_put_and_get():
    script = (
        "from gevent import monkey; monkey.patch_all()\n"
        "from edgeform.transport.worker.edgessh import EdgeSSH\n"
        "from edgeform.transport.worker.edgelocal import EdgeLocal\n"
        "for cls in (EdgeSSH, EdgeLocal):\n"
        "    for name in ('put_file', 'get_file'):\n"
        "        try: getattr(cls, name)(None, 'a', 'b')\n"
        "        except NotImplementedError: print('refused')\n"
    )
    said = subprocess.run(
        (sys.executable, "-c", script), check=True, capture_output=True, text=True
    )
    assert said.stdout == "refused\n" * 4


def test_a_process_makes_one_state_only():
    # Gotcha 2: two States in one process hear of each other.
    made = [
        (path.name, ast.unparse(node))
        for path in WORKER.glob("*.py")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"State", "Fleet"}
    ]
    assert sorted(name for name, _ in made) == ["fleet.py", "serve.py"]


def test_nothing_of_the_dry_run_is_used():
    # Gotcha 7: a dry run ends at the first command that an operation yields.
    for path in WORKER.glob("*.py"):
        assert "will_change" not in path.read_text()
    assert "check_for_changes=False" in (WORKER / "fleet.py").read_text()
