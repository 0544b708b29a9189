"""`registry`, `model` and `lock --check` as somebody at a terminal meets them."""

import json
import socket
import subprocess
from pathlib import Path

import pytest
from support.modelserver import a_server
from support.registry import a_registry, aliases
from support.registry_kinds import FILES, VERSIONS, publish
from support.spec import an_object, some_devices

from edgeform.build.tree import files_of
from edgeform.cli.building import StoreSink
from edgeform.cli.main import run
from edgeform.lock.lockfile import read
from edgeform.trust import oms
from edgeform_wire.artifact import Artifact, Requires

SCHEMAS = Path(__file__).parents[3] / "schemas"
VARIANTS = "[{name: f32, engine: onnxruntime, file: model.onnx}]"
PC = "{name: d, class: builtin/linux-x86_64, connect: {host: h}}"


class Site:
    def __init__(self, folder, capsys):
        self.folder, self.capsys = folder, capsys
        self.root = a_registry(folder / "models", {"digits": VERSIONS})
        aliases(self.root, "digits", stable="1.2.0")
        self.write()

    def write(self, more="", version="{alias: stable}"):
        site = an_object(
            "Site",
            "plant",
            f"{{registries: [{{name: local, kind: directory, path: models}}{more}]}}",
        )
        model = an_object(
            "Model",
            "digits",
            f"{{source: {{registry: local}}, version: {version}, variants: {VARIANTS}}}",
        )
        (self.folder / "site.yaml").write_text(f"{site}---\n{model}")

    def say(self, *words):
        code = run(list(words))
        said = self.capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def site(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    made = Site(folder, capsys)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NO_COLOR", "1")
    return made


def schema(name, lines):
    from jsonschema import Draft202012Validator

    rule = Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))
    values = [json.loads(line) for line in lines.splitlines()]
    assert values
    for value in values:
        rule.validate(value)
    return values


def test_registries_models_versions_and_files_are_shown(site):
    assert site.say("registry", "ls")[:2] == (0, "local\tdirectory\n")
    assert site.say("registry", "ls", "local")[:2] == (0, "digits\n")
    code, out, _ = site.say("registry", "show", "local", "digits")
    assert (code, out.splitlines()) == (
        0,
        ["1.0.0", "1.2.0\t@stable", "1.10.0", "2.0.0-rc.1\tpre-release", "2.0.0"],
    )
    code, out, err = site.say("registry", "show", "local", "digits@stable")
    assert [line.split()[-1] for line in out.splitlines()] == sorted(VERSIONS["1.2.0"])
    assert "digits 1.2.0: sha256:" in err
    for words in (
        ("ls",),
        ("ls", "local"),
        ("show", "local", "digits"),
        ("show", "local", "digits@1.0.0"),
    ):
        schema("registry", site.say("registry", *words, "--json")[1])


@pytest.mark.parametrize(
    ("wanted", "version"),
    [("1.0.0", "1.0.0"), ("stable", "1.2.0"), ("^1.0", "1.10.0"), ("latest", "2.0.0")],
)
def test_a_version_is_pulled_by_any_rule(site, wanted, version):
    code, out, _ = site.say("registry", "pull", "local", f"digits@{wanted}", "--out", "got")
    assert code == 0
    assert out.startswith(f"digits {version}: ")
    found = {
        p.relative_to("got").as_posix(): p.read_bytes()
        for p in Path("got").rglob("*")
        if p.is_file()
    }
    assert found == VERSIONS[version]
    assert site.say("registry", "pull", "local", "digits@1.0.0", "--out", "got")[0] == 64


def test_wrong_words_name_what_there_is(site):
    code, _, err = site.say("registry", "show", "locl", "digits")
    assert code == 64
    assert "Did you mean 'local'?" in err
    assert site.say("registry", "pull", "local", "digits", "--out", "x")[0] == 64
    assert site.say("registry", "pull", "local", "digits@7.0.0", "--out", "x")[0] == 3
    assert not Path("x").exists()


def test_a_registry_with_a_login_is_read_and_no_value_is_written_anywhere(site, monkeypatch):
    with a_server() as served:
        publish(served, "digits", {"1.0.0": FILES}, {})
        site.write(
            f', {{name: web, kind: http, url: "{served.url}/edge", user: robot, password: {{secret: env/PW}}}}'
        )
        code, _, err = site.say("registry", "show", "web", "digits")
        assert (code, "PW is not set" in err) == (64, True)
        monkeypatch.setenv("PW", "hunter2-canary")
        code, out, err = site.say("registry", "pull", "web", "digits@1.0.0", "--out", "got")
        assert code == 0, err
        assert served.seen[-1].headers["authorization"].startswith("Basic ")
        everything = (
            out
            + err
            + "".join(p.read_text("latin-1") for p in Path.cwd().rglob("*") if p.is_file())
        )
        assert "hunter2-canary" not in everything


def locked(site):
    """A lock of the models alone: closures take minutes, and none is needed without devices."""
    assert site.say("lock")[0] == 0
    return read(Path("edgeform.lock")).checked()


def prepared(site, monkeypatch):
    """A lock whose one model holds the version's own files, whatever they are."""

    def model(self, request):
        return self._kept(
            Artifact(
                kind="model",
                name=request.model.name,
                version=request.version,
                variant=request.variant.name,
                epoch=0,
                requires=Requires(),
                files=files_of(request.folder, StoreSink(self.artifacts.objects)),
                metadata={"engine": "onnxruntime", "measures": {}},
            )
        )

    monkeypatch.setattr("edgeform.cli.building.ShelfBuilder.model", model)
    return locked(site)


def test_lock_check_says_what_would_move_and_writes_nothing(site, monkeypatch):
    code, out, err = site.say("lock", "--check")
    assert (code, "digits: not locked; alias stable means 1.2.0\n") == (6, out)
    assert "edgeform lock" in err
    assert not Path("edgeform.lock").exists()
    lock = prepared(site, monkeypatch)
    assert [f.path for f in lock.sources[0].files] == sorted(VERSIONS["1.2.0"])
    before = Path("edgeform.lock").read_bytes()
    assert site.say("lock", "--check")[:2] == (0, "")
    aliases(site.root, "digits", stable="2.0.0")
    code, out, _ = site.say("lock", "--check")
    assert code == 0
    assert (
        out
        == "digits: alias stable means 2.0.0 now, and 1.2.0 is locked; it stays until --update\n"
    )
    code, out, err = site.say("lock", "--check", "--update", "digits")
    assert code == 6
    assert "edgeform lock --update digits" in err
    site.write(version="{exact: 1.0.0}")
    code, out, _ = site.say("lock", "--check")
    assert (code, out) == (6, "digits: locked as alias stable; exact 1.0.0 means 1.0.0\n")
    assert Path("edgeform.lock").read_bytes() == before


def test_lock_check_finds_files_that_were_replaced_under_their_version(site, monkeypatch):
    prepared(site, monkeypatch)
    (site.root / "digits" / "1.2.0" / "labels.txt").write_bytes(b"evil\n")
    code, _, err = site.say("lock", "--check")
    assert code == 12
    assert "other files than were locked: labels.txt" in err
    assert "hint" not in err


def test_lock_check_names_closures_that_are_missing(site, monkeypatch):
    prepared(site, monkeypatch)
    (site.folder / "devices.yaml").write_text(some_devices(PC))
    code, out, _ = site.say("lock", "--check")
    assert code == 6
    assert "runtime onnxruntime: not locked for x86_64" in out


def test_planning_asks_no_registry(site, monkeypatch):
    """Resolving belongs to `lock`: a plan of a site whose registry is gone is the same plan."""
    prepared(site, monkeypatch)
    from edgeform.cli.planning import want
    from edgeform.cli.workspace import find_workspace

    def refuse(*_, **__):
        raise AssertionError("planning opened a socket")

    first = want(find_workspace(None), lambda _: None).resolution
    site.root.rename(site.folder / "gone")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("edgeform.registry.open.registries_of", refuse)
    again = want(find_workspace(None), lambda _: None)
    assert again.resolution == first
    assert again.lock.sources[0].version == "1.2.0"


@pytest.fixture
def oms_key(tmp_path):
    key = tmp_path / "oms.pem"
    subprocess.run(
        ("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key),
        check=True,
        capture_output=True,
    )
    subprocess.run(
        ("openssl", "ec", "-in", key, "-pubout", "-out", tmp_path / "oms.pub"),
        check=True,
        capture_output=True,
    )
    return key


def a_folder(folder, **more):
    from support.onnx_files import a_model_file

    folder.mkdir()
    (folder / "model.onnx").write_bytes(a_model_file())
    for name, content in more.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_signed_model_comes_in_and_what_is_not_as_signed_stays_out(site, tmp_path, oms_key):
    folder = a_folder(tmp_path / "m")
    (folder / "model.sig").write_bytes(oms.sign(folder, oms_key.read_bytes(), None, name="m"))
    trust = ("--oms-key", str(tmp_path / "oms.pub"))
    code, out, err = site.say("model", "import", str(folder), "net@1.0.0", *trust)
    assert code == 0, err
    assert "1 files, signed by sha256:" in out
    assert sorted(p.name for p in (site.root / "net").iterdir()) == ["1.0.0", "1.0.0.sig"]
    assert site.say("registry", "show", "local", "net")[1] == "1.0.0\n"
    assert site.say("model", "import", str(folder), "net@1.0.0", *trust)[0] == 64
    (folder / "extra.txt").write_text("x")
    code, _, err = site.say("model", "import", str(folder), "net@1.1.0", *trust)
    assert code == 8
    assert "'extra.txt' is not signed" in err
    (folder / "model.sig").unlink()
    code, _, err = site.say("model", "import", str(folder), "other@1.0.0", *trust)
    assert (code, "There is no signature" in err) == (8, True)
    assert sorted(p.name for p in site.root.iterdir()) == ["digits", "net"]
    assert sorted(p.name for p in (site.root / "net").iterdir()) == ["1.0.0", "1.0.0.sig"]


def test_what_is_exported_is_what_is_locked_and_signed_as_others_check_it(
    site, tmp_path, oms_key, monkeypatch
):
    prepared(site, monkeypatch)
    code, out, err = site.say("model", "export", "digits", "--out", "given", "--oms", str(oms_key))
    assert code == 0, err
    assert out == "digits 1.2.0, variant f32: 4 files in given\n"
    given = Path("given")
    assert (given / "model.onnx").read_bytes() == VERSIONS["1.2.0"]["model.onnx"]
    trusted = oms.ByKey(pems=((tmp_path / "oms.pub").read_bytes(),))
    signature = given / "model.sig"
    assert oms.verify(given, signature.read_bytes(), trusted, signature=signature).files == 4
    assert site.say("model", "export", "digits", "--out", "given")[0] == 64
    assert site.say("model", "export", "digit", "--out", "more")[0] == 64
    assert not Path("more").exists()


def test_a_damaged_store_exports_nothing(site, monkeypatch):
    prepared(site, monkeypatch)
    for blob in Path(".edgeform/store/sha256").rglob("*"):
        if blob.is_file() and blob.read_bytes() == VERSIONS["1.2.0"]["model.onnx"]:
            blob.chmod(0o644)
            blob.write_bytes(b"damaged")
    code, _, _ = site.say("model", "export", "digits", "--out", "given")
    assert code == 12
    assert not Path("given").exists()
    assert not list(Path.cwd().glob(".given*"))


def test_an_identity_without_an_authority_is_refused_with_the_way_out(site, tmp_path):
    folder = a_folder(tmp_path / "m")
    code, _, err = site.say(
        "model", "import", str(folder), "net@1.0.0", "--oms-identity", "a@example.com"
    )
    assert code == 64
    assert "cannot be verified offline" in err
    assert "--oms-ca" in err


def test_a_model_that_could_run_code_stays_out(site, tmp_path):
    import pickle

    folder = a_folder(tmp_path / "m", labels=pickle.dumps({"a": 1}, protocol=4))
    code, _, err = site.say("model", "import", str(folder), "net@1.0.0")
    assert code == 3
    assert "labels (pickle)" in err
    assert not (site.root / "net").exists()
    (folder / "labels").unlink()
    (folder / "labels").symlink_to("/etc/passwd")
    assert site.say("model", "import", str(folder), "net@1.0.0")[0] == 3
    assert not (site.root / "net").exists()


@pytest.mark.parametrize("name", ["../x@1.0.0", "/x@1.0.0", "x@../1", "x@1/2", "@1.0.0", "x"])
def test_a_model_is_named_inside_its_registry(site, tmp_path, name):
    folder = a_folder(tmp_path / "m")
    assert site.say("model", "import", str(folder), name)[0] in (3, 64)
    assert sorted(p.name for p in site.root.iterdir()) == ["digits"]


def test_inspect_prints_a_line_for_people_and_one_for_programs(site, tmp_path, golden):
    folder = a_folder(tmp_path / "m", evil=b"\x7fELF" + b"\0" * 20)
    code, out, _ = site.say("model", "inspect", str(folder))
    assert code == 3
    golden("documents/inspection.txt", out)
    found = schema("inspection", site.say("model", "inspect", "--json", str(folder))[1])
    assert [f["format"] for f in found] == ["elf", "onnx"]
    assert site.say("model", "inspect", str(folder / "model.onnx"))[0] == 0


def test_what_a_file_says_cannot_drive_a_terminal(site, tmp_path):
    from support.onnx_files import a_model_file

    (tmp_path / "m.onnx").write_bytes(a_model_file(name="\x1b[2Jx"))
    assert "\x1b" not in site.say("model", "inspect", str(tmp_path / "m.onnx"))[1]
