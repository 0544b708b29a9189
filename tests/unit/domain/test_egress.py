"""What leaves a device, as `explain egress` tells it, and that the runtime sends nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
from hypothesis import given
from hypothesis import strategies as st
from support.plan import a_device, a_pipeline

from edgeform.cli.main import run
from edgeform.domain.egress import flows_of
from edgeform.domain.pipeline import RESULTS_ONLY, Serving
from edgeform.domain.stages.action import Email, ModbusWrite, MqttPublish, StoreLocally, Webhook
from edgeform.domain.stages.broker import Broker
from edgeform.domain.stages.capture import HttpPush, ImageDirectory, VideoStream
from edgeform.domain.stages.postprocess import Classify, NamedEntities
from edgeform.domain.stages.report import ReportAzure, ReportLines, ReportMqtt
from edgeform.shipped import shipped
from edgeform_runtime.frames import Frame, Inferred
from edgeform_runtime.metrics import Metrics
from edgeform_runtime.stages.contract import Place
from edgeform_runtime.stages.message import reduced, result_json, result_message

BROKER = Broker(host="broker.example")
HOOK = Webhook(url="https://alerts.example/x")


def flows(**changes):
    found = flows_of(a_device(pipelines=(a_pipeline(**changes),)), "lab")
    return {flow.via: flow for flow in found}


def test_what_stays_on_the_device_is_not_listed():
    found = flows(actions=(StoreLocally(frames="encoded"),), report=(ReportLines(),))
    assert set(found) == {"ssh"}
    assert found["ssh"].bytes_per_day is None
    local = Serving(address="127.0.0.1", port=80)
    assert set(flows(serving=local, actions=())) == {"ssh"}
    everybody = flows(serving=replace(local, address="::"), actions=())["serving"]
    assert everybody.destination == "whoever connects to :::80"


def test_each_destination_has_its_fields_and_its_bytes():
    azure = ReportAzure(broker=BROKER, device_id="hub-7", every_s=3600.0)
    found = flows(
        capture=ImageDirectory(path="in", interval_s=2.0),
        postprocess=Classify(labels="labels.txt", top_k=1),
        actions=(
            HOOK,
            MqttPublish(topic="line/a", broker=replace(BROKER, tls=False), cooldown_s=60.0),
            Email(host="relay", sender="a@b.example", to=("c@d.example",), cooldown_s=86400.0),
            ModbusWrite(host="plc", address=1),
        ),
        report=(ReportMqtt(broker=BROKER, every_s=60.0), azure),
    )
    assert found["webhook"].messages_per_day == 43200
    assert (found["webhook"].destination, found["webhook"].protection) == ("alerts.example", "tls")
    assert {"frame", "classes.label", "generation"} <= set(found["webhook"].fields)
    assert (found["mqtt"].messages_per_day, found["mqtt"].protection) == (1440, "none")
    assert found["email"].messages_per_day == 1
    assert found["modbus_write"].fields == ("1 or 0",)
    assert found["modbus_write"].bytes_per_day == 43200 * 12
    assert found["mqtt report"].messages_per_day == 1440
    assert 1440 * 400 < found["mqtt report"].bytes_per_day < 1440 * 1200
    assert found["azure_iot report"].destination == "broker.example:8883 as hub-7"
    assert found["mqtt receipt"].bytes_per_day is None


def test_without_a_rate_nothing_bounds_it_and_a_cooldown_does():
    assert flows(capture=HttpPush(), actions=(HOOK,))["webhook"].bytes_per_day is None
    quiet = replace(HOOK, cooldown_s=3600.0)
    assert flows(capture=HttpPush(), actions=(quiet,))["webhook"].messages_per_day == 24
    camera = VideoStream(url="rtsp://cam/1", fps=5.0)
    found = flows(capture=camera, actions=(HOOK,))
    assert found["webhook"].messages_per_day == 5 * 86400
    assert found["video_stream capture"].fields == ("requests only",)


def a_result(result):
    frame = Frame(sequence=1, name="ward-3.png", content=b"x", captured_at=1.5, captured=0)
    return Inferred(frame=frame, result=result, model_ref="m@1/f32", generation=3, seconds={})


ENTITY = {"label": "PER", "score": 0.5, "first": 1, "last": 1, "text": "Ada", "start": 0, "end": 3}


def test_under_results_only_the_runtime_sends_the_listed_fields_and_no_word_of_the_input():
    place = Place("", "gate", "lab", "cam-01", egress=RESULTS_ONLY)
    sent = result_json(place, a_result({"kind": "ner", "entities": [ENTITY], "tokens": ["Ada"]}))
    assert "Ada" not in json.dumps(sent)
    assert "ward-3" not in json.dumps(sent)
    (told,) = (
        flow
        for flow in flows_of(
            a_device(
                pipelines=(
                    a_pipeline(
                        postprocess=NamedEntities(labels="tags.txt"),
                        actions=(HOOK,),
                        egress=RESULTS_ONLY,
                    ),
                )
            ),
            "lab",
        )
        if flow.via == "webhook"
    )
    assert told.left_out == ("frame", "entities.text")
    assert {f"entities.{name}" for name in sent["result"]["entities"][0]} <= set(told.fields)
    plain = result_json(Place("", "gate"), a_result({"kind": "ner", "entities": [ENTITY]}))
    assert plain["result"]["entities"][0]["text"] == "Ada"


@given(
    st.recursive(
        st.text(min_size=1, max_size=5) | st.floats(allow_nan=False),
        lambda inner: st.dictionaries(st.text(max_size=6), inner, max_size=4),
        max_leaves=8,
    )
)
def test_a_field_that_nobody_listed_never_leaves(extra):
    found = reduced({"kind": "x", "score": 1.0, "secret": extra, "classes": [{"raw": extra}]})
    assert found == {"kind": "x", "score": 1.0, "classes": [{}]}


def test_a_message_is_about_as_long_as_explain_says():
    result = {
        "kind": "classify",
        "classes": [{"index": 8, "label": "8", "score": 0.9876543216324}],
    }
    told = flows(postprocess=Classify(labels="l", top_k=1), actions=(HOOK,))["webhook"]
    size = len(result_message(Place("", "digits", "lab", "cam-01"), a_result(result)))
    assert size <= told.message_bytes < 2 * size


def test_what_was_sent_is_counted_by_destination():
    metrics = Metrics("gate")
    place = Place("", "gate", metrics=metrics)
    place.sent("webhook", "alerts.example", 100)
    place.sent("webhook", "alerts.example", 20)
    place.sent("mqtt", "broker:8883", 7)
    assert metrics.egress.total(destination="alerts.example") == 120
    assert metrics.egress.total() == 127


FACTORY = str(Path(__file__).resolve().parents[3] / "site" / "factory")


def test_explain_prints_it_as_a_table_and_as_json_with_a_schema(capsys):
    assert run(["explain", "egress", FACTORY, "-l", "ber-nuc-*"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "egress: open"
    assert any("whoever connects to 0.0.0.0:8002" in line for line in shown)
    assert all(line.startswith("ber-nuc") for line in shown[2:])
    assert run(["explain", "egress", FACTORY, "--json"]) == 0
    schema = json.loads(shipped("schemas", "egress.schema.json").read_text("utf-8"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > len(shown)
    for line in lines:
        jsonschema.Draft202012Validator(schema).validate(json.loads(line))
    assert run(["explain", "inventory", FACTORY, "-l", "ber-nuc-*"]) == 64
