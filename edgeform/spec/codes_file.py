"""EF10xx: what can be wrong with one file, before anything is compared with anything else."""

from edgeform.diagnostics import Severity
from edgeform.spec.codes import Code

UNKNOWN_KEY = Code(
    code="EF1001",
    summary="Unknown key",
    text="The object has a key that its kind does not know. Nothing is ignored silently: a key that"
    " does nothing would be a promise that nobody keeps.",
    cause="A typing error, wrong indentation, or a key of another kind.",
    example="pipelins: [{name: gate}]     # unknown key\npipelines: [{name: gate}]    # right",
)
WRONG_TYPE = Code(
    code="EF1002",
    summary="Wrong type",
    text="The value has another type than the key demands, for instance a text where a list stands.",
    cause="Often a missing dash, or quotes around a number. YAML is read as version 1.2: `on`, `no`"
    " and `1:30` are texts, `012` is the number 12.",
    example='port: "22"     # a text\nport: 22       # a number',
)
MISSING_KEY = Code(
    code="EF1003",
    summary="Missing key",
    text="A key that the object cannot do without is not there.",
    cause="It was forgotten, or stands at another indentation.",
    example="infer: {}                 # which model?\ninfer: {model: digits}",
)
NOT_ALLOWED = Code(
    code="EF1004",
    summary="Value not allowed",
    text="The key takes one of a few values, and this is none of them.",
    cause="A typing error, or a value that this version of edgeform does not know.",
    example="become: doas     # not known\nbecome: sudo",
)
MALFORMED = Code(
    code="EF1005",
    summary="Malformed value",
    text="The text does not have the form that the key demands: a name, a size, a digest, a"
    " reference to a secret.",
    cause="A wrong unit, upper case in a name, a missing part.",
    example='max_bytes: 64 megs      # no such unit\nmax_bytes: "64MiB"',
)
OUT_OF_RANGE = Code(
    code="EF1006",
    summary="Out of range",
    text="The number is too small or too large, or the text or list too short or too long.",
    cause="Usually a wrong unit: the unit stands in the key's name (`_s` seconds, `_ms`"
    " milliseconds, `_bytes` bytes).",
    example="port: 70000     # ports end at 65535\nport: 7000",
)
NOT_EXACTLY_ONE = Code(
    code="EF1007",
    summary="Exactly one key expected",
    text="The object chooses between several things by its only key: it must have exactly one.",
    cause="Two choices at once, two steps in one list item, or none.",
    example="version: {exact: 1.0.0, alias: stable}     # which?\nversion: {alias: stable}",
)
NOT_YET = Code(
    code="EF1008",
    summary="Not in this version",
    text="This is planned, and named here so that nobody believes it works: this version of"
    " edgeform does not do it, and does not ignore it either.",
    cause="A site written for a later version, or an example from the design.",
    example="waves: [{name: canary}]     # planned\nmax_parallel: 5              # what there is",
)
SYNTAX = Code(
    code="EF1011",
    summary="YAML syntax error",
    text="The file is not YAML. Nothing of it can be used from here on, so objects that only stand"
    " below are not missed in other messages.",
    cause="A tab in the indentation, a missing bracket or quote, `: ` inside a plain text.",
    example="url: ${vars.x}: y       # quote it\nurl: '${vars.x}: y'",
)
DUPLICATE_KEY = Code(
    code="EF1012",
    summary="Duplicate key",
    text="The same key stands twice in one mapping. Most readers take the last silently; here both"
    " are shown and none is preferred.",
    cause="A block was copied and not renamed.",
    example="labels: {a: x}\nlabels: {b: y}     # again\n---\nlabels: {a: x, b: y}",
)
ALIAS = Code(
    code="EF1013",
    summary="Anchors and aliases are not read",
    text="`&name` and `*name` are refused: they hide where a value comes from, and a few lines of"
    " them can stand for gigabytes.",
    cause="A habit from other tools.",
    example="vars: *shared     # refused\n# put shared values into Site.defaults or DeviceList.common",
)
TAG = Code(
    code="EF1014",
    summary="Tags are not read",
    text="`!tag` and `!!type` are refused: editors and other readers disagree about them.",
    cause="A habit from other tools, such as `!secret` or `!!str`.",
    example="port: !!str 22           # refused\npassword: {secret: env/PASSWORD}",
)
MERGE_KEY = Code(
    code="EF1015",
    summary="Merge keys are not read",
    text="`<<` belongs to YAML 1.1. edgeform has its own layers: class, defaults, overlays, list,"
    " device.",
    cause="A habit from other tools.",
    example="<<: {user: edge}     # refused\n# put it into Site.defaults",
)
TOO_DEEP = Code(
    code="EF1016",
    summary="Nested too deeply",
    text="The document has more than 64 levels. No site needs more than a dozen; a deeper one is a"
    " mistake or an attack.",
    cause="A missing closing bracket, or a generated file.",
    example="[[[[[[...",
)
TOO_LARGE = Code(
    code="EF1017",
    summary="Too large",
    text="A file of a site may have 8 MiB and a million values. It is refused before it is read.",
    cause="A generated device list; split it, one file a plant, and only changed files differ in"
    " review.",
    example="devices/all.yaml (50 MB)     # refused\ndevices/plant-*.yaml",
)
NOT_TEXT = Code(
    code="EF1018",
    summary="Not plain text",
    text="Files of a site are UTF-8 without control characters.",
    cause="Another encoding (UTF-16, Latin-1), or no text file at all.",
    example="(binary)",
)
UNREADABLE = Code(
    code="EF1019",
    summary="Cannot be read",
    text="The file or folder is not there, is no ordinary file, or may not be read.",
    cause="A wrong path, a dangling link, missing rights.",
    example="edgeform validate site/labb",
)
KEY_NOT_TEXT = Code(
    code="EF1020",
    summary="Key is not a text",
    text="The key of a mapping is itself a list or a mapping.",
    cause="A `?`, or braces where quotes were meant: `{{name}}`.",
    example="{name}: x      # a mapping as key\n'{name}': x",
)
NOT_A_NUMBER = Code(
    code="EF1021",
    summary="Number not usable",
    text="The number is infinite, not a number, or has more digits than any setting can have.",
    cause="`.inf`, `.nan`, or an identifier without quotes.",
    example="id: 1234567890...     # quote identifiers\nid: '1234567890...'",
)
EMPTY_FILE = Code(
    code="EF1022",
    summary="Nothing in the file",
    text="The file holds no object, so it does nothing.",
    cause="Everything in it is a comment.",
    example="# devices will come later",
    severity=Severity.WARNING,
)
TOO_MANY = Code(
    code="EF1023",
    summary="More problems of this kind",
    text="A file with very many problems shows the first hundred; mending those usually mends the"
    " rest.",
    cause="One mistake in a generated file.",
    example="",
)
ALL = (
    UNKNOWN_KEY,
    WRONG_TYPE,
    MISSING_KEY,
    NOT_ALLOWED,
    MALFORMED,
    OUT_OF_RANGE,
    NOT_EXACTLY_ONE,
    NOT_YET,
    SYNTAX,
    DUPLICATE_KEY,
    ALIAS,
    TAG,
    MERGE_KEY,
    TOO_DEEP,
    TOO_LARGE,
    NOT_TEXT,
    UNREADABLE,
    KEY_NOT_TEXT,
    NOT_A_NUMBER,
    EMPTY_FILE,
    TOO_MANY,
)
