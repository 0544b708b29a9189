"""A whole site: which layer wins for a device, and what explain says about it."""

import pytest
from support.spec import CASES, a_site, an_object, base, codes, some_devices, write_site

from edgeform.errors import SpecInvalid, UsageError
from edgeform.spec import explain
from edgeform.spec.load import load


@pytest.fixture
def layers(tmp_path, monkeypatch):
    write_site(tmp_path, {"case.yaml": (CASES / "valid" / "layers.yaml").read_text()})
    monkeypatch.chdir(tmp_path)
    return load("site")


def test_class_defaults_overlay_list_and_device_lie_on_top_of_each_other(layers):
    one, two, three = layers.checked().devices
    assert (one.connect.user, one.connect.port, one.connect.connect_timeout_s) == ("edge", 22, 3.0)
    assert (one.soak_s, two.soak_s, three.soak_s) == (9.0, 2.0, 9.0)
    assert [d.pipelines[0].postprocess.threshold for d in (one, two)] == [0.3, 0.9]
    assert three.pipelines == ()
    assert (one.hardware.runtime.threads, two.hardware.runtime.threads) == (1, 8)
    assert dict(one.labels) == {"plant": "berlin", "line": "press-3"}


def test_devices_that_say_nothing_of_their_own_share_one_class(tmp_path):
    entries = [f"{{name: d{n}, class: pc, connect: {{host: h{n}}}}}" for n in range(3)]
    devices = a_site(tmp_path, some_devices(*entries)).checked().devices
    assert devices[0].hardware is devices[1].hardware is devices[2].hardware


def test_pipelines_without_references_are_made_once(tmp_path):
    pipeline = an_object(
        "Pipeline",
        "p",
        "{capture: {http_push: {}}, infer: {model: digits}, postprocess: {classify: {}}}",
    )
    entries = [
        f"{{name: d{n}, class: pc, connect: {{host: h{n}}}, pipelines: [{{name: p}}]}}"
        for n in range(2)
    ]
    devices = a_site(tmp_path, pipeline, some_devices(*entries)).checked().devices
    assert devices[0].pipelines[0] is devices[1].pipelines[0]


def test_explain_names_the_value_its_place_and_what_it_hides(layers):
    (found,) = explain.value_of(layers, "cam-1", "pipelines[gate].vars.threshold")
    assert found.value == "0.3"
    assert found.layer == "overlay night"
    assert str(found.source.position) == "site/case.yaml:10:83"
    assert [(h.value, h.layer) for h in found.hidden] == [("0.2", "site defaults")]


def test_explain_knows_a_number_in_a_list_and_the_pipelines_own_default(tmp_path):
    entry = "{name: d, class: pc, connect: {host: h}, pipelines: [{name: gate, vars: {threshold: 0.9}}]}"
    loaded = a_site(tmp_path, some_devices(entry))
    (found,) = explain.value_of(loaded, "d", "pipelines[0].vars.threshold")
    assert (found.value, found.hidden[0].value) == ("0.9", "0.5")
    assert found.hidden[0].layer == "default of pipeline gate"


def test_explain_shows_removed_values(layers):
    (found,) = explain.value_of(layers, "cam-1", "connect.port")
    assert found.value == "null (removed)"
    assert found.hidden[0].value == "2200"


def test_explain_replaces_references_and_shows_what_is_written(tmp_path):
    entry = '{name: "d-${n}", each: {n: "1..2"}, class: pc, connect: {host: "h${n}.${site.name}"}}'
    (found,) = explain.value_of(a_site(tmp_path, some_devices(entry)), "d-2", "connect.host")
    assert (found.value, found.written) == ("h2.plant", "h${n}.${site.name}")


def test_explain_of_a_whole_part_gives_every_value_in_it(layers):
    found = explain.value_of(layers, "cam-2", "connect")
    assert {e.path: e.value for e in found} == {
        "connect.user": "edge",
        "connect.port": "2200",
        "connect.connect_timeout_s": "3",
        "connect.host": "b",
    }


@pytest.mark.parametrize("path", ["connect.hots", "nothing", "pipelines[gaet].vars", "a..b", "a["])
def test_explain_refuses_paths_that_lead_nowhere(layers, path):
    with pytest.raises(UsageError):
        explain.value_of(layers, "cam-1", path)


def test_explain_guesses_a_mistyped_device(layers):
    with pytest.raises(UsageError) as caught:
        explain.value_of(layers, "cam-0", "connect.host")
    assert "cam-" in caught.value.hint


def test_every_place_explained_says_what_stands_there(layers):
    for device in ("cam-1", "cam-2", "cam-99"):
        for part in ("connect", "transaction", "hardware", "labels"):
            try:
                found = explain.value_of(layers, device, part)
            except UsageError:
                continue
            for answer in (e for f in found for e in (f, *f.hidden)):
                if answer.written.startswith(("null", "[", "{")) or answer.source is None:
                    continue
                rest = answer.source.line_text[answer.source.position.column - 1 :]
                assert rest.lstrip("'\"").startswith(answer.written), answer


def test_a_broken_site_gives_no_site_and_raises_with_everything(tmp_path):
    loaded = a_site(tmp_path, some_devices("{name: d, class: pc}", "{name: e, class: nothing}"))
    assert loaded.site is None
    with pytest.raises(SpecInvalid) as caught:
        loaded.checked()
    assert caught.value.diagnostics == loaded.diagnostics
    assert codes(loaded) == ["EF2006", "EF2004"]


def test_one_broken_entry_does_not_hide_the_others_problems(tmp_path):
    loaded = a_site(tmp_path, some_devices("{name: d, clas: pc}", "{name: e, class: nothing}"))
    assert codes(loaded) == ["EF1001", "EF2004"]


def test_a_file_that_cannot_be_read_whole_makes_no_false_alarms(tmp_path):
    site = write_site(
        tmp_path,
        {
            "base.yaml": base(),
            "broken.yaml": "api_version: [\n",
            "case.yaml": some_devices(
                "{name: d, class: maybe-in-the-broken-file, connect: {host: h}}"
            ),
        },
    )
    assert codes(load(site)) == ["EF1011"]


def test_the_digest_covers_every_byte_and_every_name(tmp_path):
    site = write_site(tmp_path, {"base.yaml": base()})
    first = load(site).checked().digest
    (site / "base.yaml").write_text(base() + "# a comment\n")
    second = load(site).checked().digest
    (site / "base.yaml").rename(site / "other.yaml")
    third = load(site).checked().digest
    assert len({first, second, third}) == 3


def test_the_digest_does_not_depend_on_where_the_site_lies(tmp_path, monkeypatch):
    site = write_site(tmp_path, {"base.yaml": base()})
    monkeypatch.chdir(tmp_path)
    assert load("site").checked().digest == load(site).checked().digest


def test_files_are_read_from_the_usual_folders_and_hidden_ones_are_not(tmp_path):
    site = write_site(
        tmp_path,
        {
            "base.yaml": base(),
            "devices/a/b.yaml": some_devices("{name: d, class: pc, connect: {host: h}}"),
            "model/digits/1.0.0/conf.yaml": "not: ours\n",
            ".hidden.yaml": "not: ours\n",
            "notes/x.yaml": "not: ours\n",
        },
    )
    assert [d.name for d in load(site).checked().devices] == ["d"]


def test_include_says_which_files_belong_to_the_site(tmp_path):
    site = write_site(
        tmp_path,
        {
            "site.yaml": an_object("Site", "s", "{include: ['plants/*.yaml']}"),
            "plants/one.yaml": some_devices(
                "{name: d, class: builtin/linux-x86_64, connect: {host: h}}"
            ),
            "devices/two.yaml": "not: ours\n",
            "other.yaml": "not: ours\n",
        },
    )
    assert [d.name for d in load(site).checked().devices] == ["d"]


def test_include_never_leads_out_of_the_site(tmp_path):
    (tmp_path / "outside.yaml").write_text("not: ours\n")
    site = write_site(
        tmp_path, {"site.yaml": an_object("Site", "s", "{include: ['../*.yaml', '/etc/*.yaml']}")}
    )
    assert load(site).site is not None


def test_a_path_that_is_no_folder_is_a_diagnostic(tmp_path):
    assert codes(load(tmp_path / "nothing")) == ["EF1019"]


def test_the_file_of_a_site_stands_for_its_folder(tmp_path):
    site = write_site(tmp_path, {"site.yaml": base()})
    assert load(site / "site.yaml").site == load(site).site
