"""One example of each operator, with the fields it cannot do without, for tests that hold for all."""

from edgeform.domain.stages.action import (
    Email,
    Gpio,
    ModbusWrite,
    MqttPublish,
    OpcUaWrite,
    StoreLocally,
    Webhook,
)
from edgeform.domain.stages.broker import Broker
from edgeform.domain.stages.capture import (
    Audio,
    HttpPush,
    ImageDirectory,
    Modbus,
    Mqtt,
    Serial,
    TextLines,
    V4l2,
    VideoFile,
    VideoStream,
)
from edgeform.domain.stages.postprocess import (
    Anchors,
    Anomaly,
    Classify,
    NamedEntities,
    Threshold,
    Yolov8,
)
from edgeform.domain.stages.preprocess import (
    AudioFrames,
    Colour,
    Crop,
    Layout,
    LogMel,
    Normalise,
    Resize,
    Tokenise,
    Window,
    ZScore,
)
from edgeform.domain.stages.report import ReportAws, ReportAzure, ReportLines, ReportMqtt

CAPTURE = (
    (ImageDirectory(path="in"), {"path"}),
    (HttpPush(), set()),
    (VideoFile(path="film.mp4"), {"path"}),
    (VideoStream(url="rtsp://10.0.0.9/main"), {"url"}),
    (Mqtt(broker=Broker(host="broker"), topic="line/3/camera"), {"broker", "topic"}),
    (Modbus(host="plc-1", address=40), {"host", "address"}),
    (TextLines(path="messages.log"), {"path"}),
    (Serial(path="/dev/ttyUSB0"), {"path"}),
    (Audio(), set()),
    (V4l2(), set()),
)
PREPROCESS = (
    (Resize(width=4, height=5), {"width", "height"}),
    (Colour(to="grey"), {"to"}),
    (Normalise(), set()),
    (Layout(), set()),
    (Crop(width=4, height=5), {"width", "height"}),
    (AudioFrames(length=400, hop=160), {"length", "hop"}),
    (LogMel(), set()),
    (Window(length=64), {"length"}),
    (ZScore(), set()),
    (Tokenise(vocabulary="vocabulary.txt", length=32), {"vocabulary", "length"}),
)
POSTPROCESS = (
    (Classify(), set()),
    (Yolov8(), set()),
    (Anchors(), set()),
    (NamedEntities(labels="tags.txt"), {"labels"}),
    (Threshold(), set()),
    (Anomaly(threshold=0.5), {"threshold"}),
)
ACTION = (
    (StoreLocally(), set()),
    (Webhook(url="https://alerts.example/x"), {"url"}),
    (MqttPublish(topic="site/a", broker=Broker(host="broker.example")), {"topic", "broker"}),
    (ModbusWrite(host="plc.example", address=3), {"host", "address"}),
    (Gpio(chip="/dev/gpiochip0", line=17), {"chip", "line"}),
    (
        OpcUaWrite(url="opc.tcp://plc.example:4840", node="ns=2;i=7", security="none"),
        {"url", "node", "security"},
    ),
    (
        Email(host="relay.example", sender="edge@plant.example", to=("ops@plant.example",)),
        {"host", "sender", "to"},
    ),
)
REPORT = (
    (ReportLines(), set()),
    (ReportMqtt(broker=Broker(host="broker.example")), {"broker"}),
    (ReportAws(broker=Broker(host="broker.example")), {"broker"}),
    (ReportAzure(broker=Broker(host="broker.example")), {"broker"}),
)
BY_STAGE = {
    "capture": CAPTURE,
    "preprocess": PREPROCESS,
    "postprocess": POSTPROCESS,
    "action": ACTION,
    "report": REPORT,
}
