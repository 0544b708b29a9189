"""What stages demand of each other: steps in order, rules for the results, secrets that are listed."""

from collections.abc import Iterator

from edgeform.domain.pipeline import RESULTS_ONLY, Pipeline, operator_json
from edgeform.domain.stages.action import Action, Email, MqttPublish, OpcUaWrite
from edgeform.domain.stages.broker import Broker
from edgeform.domain.stages.capture import Mqtt, VideoStream
from edgeform.spec import codes_site as ef
from edgeform.spec.codes import Code
from edgeform.spec.nodes import Path
from edgeform_wire import edges
from edgeform_wire.rules import VOCABULARIES, RuleError, parse


def problems(pipeline: Pipeline) -> Iterator[tuple[Code, Path, str, str]]:
    """(code, place below the pipeline's spec, detail, hint) of everything that does not fit."""
    vocabulary = VOCABULARIES[pipeline.postprocess.kind]
    for number, action in enumerate(pipeline.actions):
        where: Path = ("action", number, action.kind)
        if action.when is not None:
            try:
                parse(action.when, vocabulary)
            except RuleError as exc:
                yield ef.BAD_RULE, (*where, "when"), str(exc), ""
        if isinstance(action, MqttPublish):
            yield from _unnamed(pipeline, (*where, "broker"), _secrets(action.broker))
        else:
            named = {name: getattr(action, name, None) for name in _SECRETS}
            yield from _unnamed(pipeline, where, named)
        wrong = _wrong_proof(action)
        if wrong:
            yield ef.NOT_PROVEN, where, wrong, ""
    yield from _of_capture(pipeline)
    yield from _of_recording(pipeline)
    yield from _of_serving(pipeline)
    if pipeline.egress == RESULTS_ONLY and not pipeline.serving.is_local:
        detail = f"The server at {pipeline.serving.address} gives a model's raw outputs to whoever connects."
        yield ef.EGRESS_BROKEN, ("serving", "address"), detail, "serving: {address: 127.0.0.1}"
    for number, report in enumerate(pipeline.report):
        broker = getattr(report, "broker", None)
        if isinstance(broker, Broker):
            yield from _unnamed(
                pipeline, ("report", number, report.kind, "broker"), _secrets(broker)
            )


_SECRETS = ("secret", "ca", "certificate", "key", "server_certificate", "password")


def _wrong_proof(action: Action) -> str:
    """Why an action could not prove itself, or would show its password; nothing if all is well."""
    if isinstance(action, OpcUaWrite):
        proof = {
            name: getattr(action, name) for name in ("certificate", "key", "server_certificate")
        }
        missing = ", ".join(name for name, value in proof.items() if value is None)
        if action.security != "none" and missing:
            return f"Security {action.security} needs {missing}."
        if action.security == "none" and action.password is not None:
            return "A password is not sent to a server that nothing proves: security is none."
    if isinstance(action, Email) and action.security == "none" and action.password is not None:
        return "A password is not sent in clear: security is none."
    return ""


def _of_capture(pipeline: Pipeline) -> Iterator[tuple[Code, Path, str, str]]:
    step, sentence = edges.problem(
        operator_json(pipeline.capture),
        [operator_json(step) for step in pipeline.preprocess],
        pipeline.postprocess.kind,
    )
    if sentence:
        yield ef.STAGES_DO_NOT_FIT, ("preprocess", step), f"{sentence}.", ""
    if isinstance(pipeline.capture, Mqtt):
        where: Path = ("capture", "mqtt", "broker")
        yield from _unnamed(pipeline, where, _secrets(pipeline.capture.broker))
    elif isinstance(pipeline.capture, VideoStream):
        named = {"password_secret": pipeline.capture.password_secret}
        yield from _unnamed(pipeline, ("capture", "video_stream"), named)


def _of_recording(pipeline: Pipeline) -> Iterator[tuple[Code, Path, str, str]]:
    recording = pipeline.recording
    if recording is None:
        return
    if recording.when is not None:
        try:
            parse(recording.when, VOCABULARIES[pipeline.postprocess.kind])
        except RuleError as exc:
            yield ef.BAD_RULE, ("recording", "when"), str(exc), ""
    media = edges.media_of(operator_json(pipeline.capture))
    for name in recording.mask.names:
        sentence = edges.mask_problem(media, (name,))
        if sentence:
            yield ef.MASK_DOES_NOT_FIT, ("recording", "mask", name), f"{sentence}.", ""


def _of_serving(pipeline: Pipeline) -> Iterator[tuple[Code, Path, str, str]]:
    serving = pipeline.serving
    yield from _unnamed(pipeline, ("serving",), {"token": serving.token})
    if serving.port and serving.token is None and not edges.is_loopback(serving.address):
        detail = (
            f"Anybody who reaches {serving.address}:{serving.port} could run inferences and read"
            " the metrics."
        )
        hint = "serving: {token: NAME}, with NAME in `secrets`; or address: 127.0.0.1"
        yield ef.OPEN_WITHOUT_TOKEN, ("serving", "address"), detail, hint


def _secrets(broker: Broker) -> dict[str, str | None]:
    names = ("ca", "certificate", "key", "password")
    return {name: getattr(broker, name) for name in names}


def _unnamed(
    pipeline: Pipeline, where: Path, named: dict[str, str | None]
) -> Iterator[tuple[Code, Path, str, str]]:
    for field, name in named.items():
        if name is not None and name not in pipeline.secrets:
            detail = f"{field!r} is secret {name!r}, and the pipeline does not list it."
            listed = ", ".join((*pipeline.secrets, name))
            yield ef.SECRET_NOT_LISTED, (*where, field), detail, f"secrets: [{listed}]"
