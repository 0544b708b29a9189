import json
import unittest
from dataclasses import replace

from support.documents import (
    MODEL,
    a_deployment,
    a_generation,
    a_golden_set,
    a_pipeline_file,
    a_receipt,
    a_signed_finding,
    a_signed_receipt,
    an_artifact,
    some_sealed_secrets,
)

from edgeform_wire import (
    artifact,
    canonical,
    deployment,
    finding,
    generation,
    golden,
    pipeline,
    receipt,
    sealed,
)
from edgeform_wire.digest import of_bytes
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

DOCUMENTS = (
    (artifact.decode, an_artifact()),
    (generation.decode, a_generation()),
    (deployment.decode, a_deployment()),
    (golden.decode, a_golden_set()),
    (pipeline.decode, a_pipeline_file()),
    (sealed.decode, some_sealed_secrets()),
)


def edited(document, edit):
    value = json.loads(document)
    edit(value)
    return canonical.encode(value)


class EveryDocument(unittest.TestCase):
    def test_what_is_written_reads_back_as_the_same_value(self):
        for decode, value in DOCUMENTS:
            with self.subTest(decode.__module__):
                assert decode(value.encoded()) == value
        assert receipt.decode_line(a_signed_receipt().encoded_line()) == a_signed_receipt()
        assert finding.decode_line(a_signed_finding().encoded_line()) == a_signed_finding()

    def test_an_unknown_field_is_refused_and_not_lost(self):
        for decode, value in DOCUMENTS:
            with self.subTest(decode.__module__):
                document = edited(value.encoded(), lambda v: v.update(surprise=1))
                with self.assertRaisesRegex(WireError, "unknown field 'surprise'"):
                    decode(document)

    def test_a_missing_field_is_named(self):
        for decode, value in DOCUMENTS:
            for field in json.loads(value.encoded()):
                with self.subTest(decode.__module__ + "." + field):
                    document = edited(value.encoded(), lambda v, f=field: v.pop(f))
                    try:
                        again = decode(document)
                    except WireError as exc:
                        assert field in str(exc), exc
                    else:  # only what may be absent reads without it, and then as absent
                        assert field in ("frame", "provenance", "sbom"), field
                        assert again != value or getattr(value, field) is None

    def test_another_schema_is_refused(self):
        for decode, value in DOCUMENTS:
            with self.subTest(decode.__module__):
                document = edited(value.encoded(), lambda v: v.update(schema="edgeform.other/9"))
                with self.assertRaisesRegex(WireError, "this side speaks"):
                    decode(document)

    def test_every_field_of_another_type_is_refused(self):
        for decode, value in DOCUMENTS:
            for field in json.loads(value.encoded()):
                with self.subTest(decode.__module__ + "." + field):
                    document = edited(value.encoded(), lambda v, f=field: v.update({f: [[1.5]]}))
                    self.assertRaises(WireError, decode, document)


class Artifacts(unittest.TestCase):
    def with_paths(self, *paths):
        first = an_artifact().files[0]
        return an_artifact(files=tuple(replace(first, path=p) for p in paths)).encoded()

    def test_paths_of_the_grammar_are_taken(self):
        for path in ("a", "a/b/c.d", "A-_.+0", "x" * 128, "/".join("a" * 32), "..a", "a..", "..."):
            with self.subTest(path):
                assert artifact.decode(self.with_paths(path)).files[0].path == path

    def test_paths_outside_the_grammar_are_refused(self):
        bad = (
            "",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "./a",
            "a b",
            "a\\b",
            "a\nb",
            "a\0b",
            "ä",
        )
        bad += ("x" * 129, "/".join("a" * 33), "a:b", "~", "a*")
        for path in bad:
            with self.subTest(path):
                self.assertRaises(WireError, artifact.decode, self.with_paths(path))

    def test_names_that_collide_where_case_is_lost_are_refused(self):
        with self.assertRaisesRegex(WireError, "one path where case is lost"):
            artifact.decode(self.with_paths("Model.onnx", "model.ONNX"))
        self.assertRaises(WireError, artifact.decode, self.with_paths("a", "a"))

    def test_a_file_cannot_be_the_parent_of_another_also_where_case_is_lost(self):
        for paths in (("a", "a/b"), ("a/b", "a"), ("A", "a/b/c")):
            with self.subTest(paths), self.assertRaisesRegex(WireError, "parent"):
                artifact.decode(self.with_paths(*paths))

    def test_a_name_version_or_variant_cannot_climb_in_the_target_path(self):
        for field in ("name", "version", "variant"):
            for text in ("../x", "a/b", "", ".."):
                with self.subTest(field + " " + text):
                    self.assertRaises(
                        WireError, artifact.decode, an_artifact(**{field: text}).encoded()
                    )

    def test_modes_and_kinds_are_closed_sets(self):
        first = an_artifact().files[0]
        setuid = an_artifact(files=(replace(first, mode="4755"),))
        self.assertRaises(WireError, artifact.decode, setuid.encoded())
        self.assertRaises(WireError, artifact.decode, an_artifact(kind="shell").encoded())

    def test_sizes_and_epochs_are_not_negative_nor_booleans(self):
        for value in (-1, True, 1.0, "1"):
            with self.subTest(repr(value)):
                document = edited(an_artifact().encoded(), lambda v, x=value: v.update(epoch=x))
                self.assertRaises(WireError, artifact.decode, document)

    def test_the_digest_binds_names_modes_and_sizes(self):
        first, second = an_artifact().files
        others = (
            an_artifact(files=(replace(first, path="b"), second)),
            an_artifact(files=(replace(first, mode="0755"), second)),
            an_artifact(files=(replace(first, size_bytes=3), second)),
            an_artifact(epoch=4),
            an_artifact(requires=artifact.Requires()),
        )
        digests = {an_artifact().digest} | {other.digest for other in others}
        assert len(digests) == 1 + len(others)
        assert an_artifact().digest == of_bytes(an_artifact().encoded())

    def test_the_target_path_follows_from_the_manifest(self):
        assert an_artifact().target_path == "artifacts/model/digits/1.0.0/cpu-f32.json"
        assert an_artifact().size_bytes == 7


class Generations(unittest.TestCase):
    def test_order_of_artifacts_and_pipelines_does_not_change_the_digest(self):
        one = a_generation()
        other = replace(one, artifacts=tuple(reversed(one.artifacts)))
        assert other.digest == one.digest

    def test_a_pipeline_may_only_use_what_the_generation_lists(self):
        used = a_generation().artifacts[1:]
        with self.assertRaisesRegex(WireError, "does not list"):
            generation.decode(a_generation(artifacts=used).encoded())

    def test_artifacts_are_found_by_digest(self):
        found = a_generation().artifact(MODEL)
        assert found is not None and found.name == "digits"
        assert a_generation().artifact(of_bytes(b"other")) is None

    def test_a_device_name_cannot_climb(self):
        self.assertRaises(WireError, generation.decode, a_generation(device="../cam").encoded())


class Deployments(unittest.TestCase):
    def test_a_generation_for_another_device_is_refused(self):
        stolen = a_deployment(generation=a_generation(device="cam-02"))
        with self.assertRaisesRegex(WireError, "holds a generation for lab/cam-02"):
            deployment.decode(stolen.encoded())

    def test_deployments_count_from_one(self):
        self.assertRaises(WireError, deployment.decode, a_deployment(number=0).encoded())

    def test_who_confirms_is_a_closed_set(self):
        policy = replace(a_deployment().policy, confirm="nobody")
        self.assertRaises(WireError, deployment.decode, a_deployment(policy=policy).encoded())

    def test_the_target_path_is_per_site_and_device(self):
        assert a_deployment().target_path == "sites/lab/cam-01.json"


class Asks(unittest.TestCase):
    def test_what_a_device_shall_look_for_reads_back_and_is_left_out_where_there_is_nothing(self):
        asks = (("files", ("/etc/udev/rules.d/60-camera.rules",)), ("groups", ("render", "video")))
        asking = a_deployment(policy=replace(a_deployment().policy, asks=asks))
        assert deployment.decode(asking.encoded()).policy.asks == asks
        assert "asks" not in json.loads(a_deployment().encoded())["policy"]

    def test_an_unknown_kind_and_names_that_no_probe_takes_are_refused(self):
        for asks in ({"weather": ["fine"]}, {"groups": []}, {"groups": ["a\0b"]}, {"groups": [1]}):
            with self.subTest(asks):
                document = edited(
                    a_deployment().encoded(), lambda v, a=asks: v["policy"].update(asks=a)
                )
                self.assertRaises(WireError, deployment.decode, document)


class Receipts(unittest.TestCase):
    def test_the_chain_digest_is_that_of_the_receipt_without_signature(self):
        assert a_receipt().chain_digest == of_bytes(a_receipt().encoded())

    def test_an_unsigned_line_says_so_with_null(self):
        line = receipt.SignedReceipt(receipt=a_receipt(), signature=None).encoded_line()
        assert b'"signature":null' in line and line.endswith(b"}\n")
        assert receipt.decode_line(line).signature is None

    def test_a_signature_that_is_not_base64_is_refused(self):
        line = edited(a_signed_receipt().encoded_line(), lambda v: v.update(signature="!!"))
        self.assertRaises(WireError, receipt.decode_line, line)

    def test_results_and_verdicts_are_closed_sets(self):
        def verdict(value):
            value["receipt"]["checks"][0]["verdict"] = "perfect"

        def result(value):
            value["receipt"]["result"] = "fine"

        for edit in (verdict, result):
            with self.subTest(edit.__name__):
                line = edited(a_signed_receipt().encoded_line(), edit)
                self.assertRaises(WireError, receipt.decode_line, line)


class Goldens(unittest.TestCase):
    def refused(self, edit):
        document = edited(a_golden_set().encoded(), edit)
        self.assertRaises(WireError, golden.decode, document)

    def test_a_set_without_cases_proves_nothing(self):
        self.refused(lambda v: v.update(cases=[]))

    def test_a_case_without_reference_proves_nothing(self):
        self.refused(lambda v: v["cases"][0].update(variant=[], fp32=[]))

    def test_each_level_needs_its_input(self):
        self.refused(lambda v: v["cases"][0].update(frame=None))
        self.refused(lambda v: v["cases"][1].update(inputs=[]))

    def test_paths_shapes_and_types_are_checked(self):
        for change in (
            {"path": "../x"},
            {"shape": [0]},
            {"shape": [True]},
            {"shape": [2**31]},
            {"dtype": "object"},
        ):
            with self.subTest(str(change)):
                self.refused(lambda v, c=change: v["cases"][0]["variant"][0].update(c))

    def test_a_tensor_knows_how_many_bytes_it_has(self):
        tensor = golden.Tensor(name="x", dtype="float16", shape=(2, 3, 4), path="x.bin")
        assert tensor.size_bytes == 48


class ReadingFields(unittest.TestCase):
    def test_the_field_is_named_in_every_error(self):
        reads = (
            lambda f: f.text("x"),
            lambda f: f.integer("x"),
            lambda f: f.number("x"),
            lambda f: f.boolean("x"),
            lambda f: f.digest("x"),
            lambda f: f.object("x"),
            lambda f: f.texts("x"),
            lambda f: f.choice("x", ("a", "b")),
            lambda f: f.optional_text("x"),
            lambda f: f.optional_integer("x"),
            lambda f: f.optional_number("x"),
            lambda f: f.optional_digest("x"),
        )
        for number, read in enumerate(reads):
            with self.subTest(number), self.assertRaisesRegex(WireError, r"thing\.x"):
                read(Fields({"x": [{}]}, "thing"))

    def test_null_is_absent_only_where_it_is_optional(self):
        assert Fields({"x": None}, "thing").optional_text("x") is None
        assert Fields({}, "thing").optional_integer("x") is None
        self.assertRaises(WireError, Fields({"x": None}, "thing").text, "x")

    def test_a_boolean_is_no_number(self):
        for read in ("integer", "number"):
            with self.subTest(read):
                self.assertRaises(WireError, getattr(Fields({"x": True}, "thing"), read), "x")

    def test_long_values_are_cut_in_the_message(self):
        try:
            Fields({"x": ["y" * 1000]}, "thing").text("x")
        except WireError as exc:
            assert len(str(exc)) < 200


if __name__ == "__main__":
    unittest.main()
