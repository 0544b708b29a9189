import ast
import io
import subprocess
import sys
import zipfile

from edgeform.build.tool import build_tool, tool_bytes
from edgeform_wire import digest as digests


def test_the_same_sources_are_the_same_bytes_in_every_process(tmp_path):
    script = "import sys; from edgeform.build.tool import tool_bytes; sys.stdout.buffer.write(tool_bytes())"
    other = subprocess.run(
        (sys.executable, "-c", script),
        env={"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert other.stdout == tool_bytes()


def test_the_file_is_written_once_and_named_by_its_digest(tmp_path):
    path, digest = build_tool(tmp_path / "out")
    before = path.stat().st_mtime_ns
    assert build_tool(tmp_path / "out") == (path, digest)
    assert path.stat().st_mtime_ns == before
    assert digests.of_file(str(path)) == digest


def test_the_tool_imports_the_standard_library_and_itself_alone():
    archive = zipfile.ZipFile(io.BytesIO(tool_bytes()))
    allowed = {*sys.stdlib_module_names, "edgeform_device", "edgeform_wire"}
    for name in archive.namelist():
        for node in ast.walk(ast.parse(archive.read(name), feature_version=(3, 8))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for imported in names:
                top = imported.partition(".")[0]
                # `cryptography` signs where a device has it and no openssl; asked for, never needed.
                is_optional = top == "cryptography" and name.endswith("signing.py")
                assert top in allowed or is_optional, (name, imported)
