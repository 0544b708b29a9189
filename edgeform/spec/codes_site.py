"""EF20xx: objects that are right by themselves and do not fit together."""

from edgeform.diagnostics import Severity
from edgeform.spec.codes import Code

NO_SITE = Code(
    code="EF2001",
    summary="No site",
    text="A folder is a site when one of its files holds an object of kind Site.",
    cause="The wrong folder, or the Site object stands in a file that is not read (`include`).",
    example="api_version: edgeform/v1\nkind: Site\nmetadata: {name: plant-7}\nspec: {}",
)
TWO_SITES = Code(
    code="EF2002",
    summary="More than one site",
    text="A folder holds exactly one Site; two could contradict each other.",
    cause="A site inside another site's folder, or a copied file.",
    example="# keep one of them, or move the other into a folder of its own",
)
DUPLICATE_NAME = Code(
    code="EF2003",
    summary="Name used twice",
    text="Two objects of one kind, or two devices, have the same name.",
    cause="A copied block, or two `each` ranges that overlap.",
    example="- {name: cam-1}\n- {name: cam-1}     # rename it",
)
UNKNOWN_REFERENCE = Code(
    code="EF2004",
    summary="Nothing of that name",
    text="The object refers to another by name, and no object of that kind has the name.",
    cause="A typing error, or the other object stands in a file that is not read (`include`).",
    example="class: jetson-orn      # no such class\nclass: builtin/jetson-orin",
)
CYCLE = Code(
    code="EF2005",
    summary="Classes extend each other in a circle",
    text="Following `extends` must end at a class that extends nothing.",
    cause="A class extends itself, directly or through others.",
    example="a: {extends: b}\nb: {extends: a}     # one must end with builtin/...",
)
INCOMPLETE = Code(
    code="EF2006",
    summary="Something needed is missing",
    text="After merging all layers, the device or class still lacks what it cannot do without.",
    cause="No layer gives it, or a null in a higher layer removes it.",
    example="- {name: cam-1, class: lab-cpu}     # no host\n"
    "- {name: cam-1, class: lab-cpu, connect: {host: 10.0.0.7}}",
)
SAME_ADDRESS = Code(
    code="EF2007",
    summary="Two devices with one address",
    text="Two devices are reached at the same host and port: one would undo what the other did.",
    cause="A copied entry; or a jump host that was written as host.",
    example="- {name: a, connect: {host: 10.0.0.7}}\n- {name: b, connect: {host: 10.0.0.7}}",
)
SECRET_PROVIDER = Code(
    code="EF2008",
    summary="Secret cannot be resolved",
    text="A secret is named as `env/NAME` or `file/path#key`; the first word says who knows it.",
    cause="A typing error in the provider, or a key where none can be.",
    example="{secret: environment/PW}     # no such provider\n{secret: env/PW}",
)
SECRET_MISSING = Code(
    code="EF2009",
    summary="Secret not given to the device",
    text="A pipeline reads a secret that the device does not list.",
    cause="The device, its list or the defaults lack an entry in `secrets`.",
    example="secrets: [mqtt]                                   # Pipeline\n"
    "secrets: {mqtt: {secret: env/MQTT_PASSWORD}}      # device",
)
BAD_REFERENCE = Code(
    code="EF2010",
    summary="Unknown ${...}",
    text="In texts `${device.x}`, `${vars.x}`, `${site.x}` and, with `each`, `${n}` are replaced;"
    " anything else between `${` and `}` is a mistake. `$${` is a plain `${`.",
    cause="A typing error, a variable that no layer sets, or a missing `}`.",
    example='url: "rtsp://${var.camera}"     # vars\nurl: "rtsp://${vars.camera}"',
)
VARIABLE_MISSING = Code(
    code="EF2011",
    summary="Variable without a value",
    text="The pipeline declares a variable without default, and the device gives none.",
    cause="A new variable in the pipeline, or a forgotten entry in `vars`.",
    example="vars: {camera: {type: string}}               # Pipeline\n"
    "pipelines: [{name: gate, vars: {camera: x}}] # device",
)
VARIABLE_WRONG = Code(
    code="EF2012",
    summary="Variable has a wrong value",
    text="The value is not of the type, range or choice that the pipeline declares.",
    cause="A text where a number is declared, or a value outside minimum and maximum.",
    example="threshold: {type: number, maximum: 1}\nvars: {threshold: 50}     # 0.5",
)
VARIABLE_UNKNOWN = Code(
    code="EF2013",
    summary="Variable not declared",
    text="The device gives its pipeline a variable that the pipeline does not declare: nobody"
    " would read it.",
    cause="A typing error, or the pipeline changed.",
    example="vars: {treshold: 0.5}     # threshold",
)
BAD_SELECTOR = Code(
    code="EF2014",
    summary="Selector not understood",
    text="A selector is a list of terms with commas (all must hold): a device name, a glob such as"
    " `cam-*`, `key=value` or `key!=value`. The value may be a glob; `class` is also a key.",
    cause="A missing key or value.",
    example="select: plant=        # which?\nselect: plant=berlin,ring=canary",
)
SELECTS_NOTHING = Code(
    code="EF2015",
    summary="Overlay changes no device",
    text="No device of the site is selected by the overlay.",
    cause="A typing error in a label, or the devices are gone.",
    example="select: plant=berln",
    severity=Severity.WARNING,
)
BAD_RANGE = Code(
    code="EF2016",
    summary="Range not usable",
    text='`each: {n: "01..04"}` counts upwards, at most ten thousand; the name must hold `${n}`.',
    cause="The end is before the start, or the name of each device would be the same.",
    example='{name: cam, each: {n: "1..3"}}           # three devices called cam\n'
    '{name: "cam-${n}", each: {n: "1..3"}}',
)
NO_SUCH_PATH = Code(
    code="EF2017",
    summary="Path does not exist",
    text="The site names a file or folder that is not there on this machine.",
    cause="A typing error, or the folder lives on another machine.",
    example="path: ./modle",
    severity=Severity.WARNING,
)
NO_VARIANT = Code(
    code="EF2018",
    summary="No variant fits",
    text="No variant of the model is for the engine and accelerator of the device's class; a plan"
    " will show the device as blocked.",
    cause="A new hardware class without a variant, or `when` that leaves it out.",
    example="variants: [{name: trt, engine: tensorrt, file: model.onnx}]     # and for the CPU?",
    severity=Severity.WARNING,
)
SAME_PORT = Code(
    code="EF2019",
    summary="Two pipelines on one port",
    text="Two pipelines of one device would serve on the same port.",
    cause="Both take it from the same default.",
    example="serving: {port: 8000}     # on both; give one another port in the device's list",
)
UNFIT_AFTER_MERGE = Code(
    code="EF2020",
    summary="Not valid after merging",
    text="Each layer is right by itself, but with all layers merged and `${...}` replaced the value"
    " is not.",
    cause="A variable with a value that its place cannot take.",
    example='port: "${vars.port}" with vars: {port: 99999}',
)
WHICH_ROLLOUT = Code(
    code="EF2021",
    summary="More than one rollout",
    text="The site has several Rollouts and does not say which one is used.",
    cause="`rollout` is missing in the Site.",
    example="rollout: careful     # in the Site's spec",
)
NO_PROVIDER = Code(
    code="EF2023",
    summary="Nobody says what must compute",
    text="The class has an accelerator, and its engine has no usual way to use it; without a named provider"
    " the CPU would compute in silence.",
    cause="An engine with several providers on an accelerator, as onnxruntime on a Jetson.",
    example="runtime: {engine: onnxruntime, provider: CUDAExecutionProvider}",
)
STAGES_DO_NOT_FIT = Code(
    code="EF2022",
    summary="Stages do not fit",
    text="Each stage takes what the one before it gives: a picture, audio, a series of numbers or text.",
    cause="A step for another kind of input, steps in the wrong order, or audio of another rate.",
    example="capture: {audio: {rate_hz: 16000}}\npreprocess: [{resize: ...}]      # no picture\n"
    "preprocess: [{log_mel: {}}, {layout: {order: n1tc}}]",
)
REGISTRY_LOGIN = Code(
    code="EF2024",
    summary="Registry cannot be asked",
    text="A registry is asked with a user and a password, with a token, or with a key id and a secret key."
    " Each is whole or absent, and none is ever sent over plain http to another machine.",
    cause="Half of a login, two logins, or an http address where https belongs.",
    example="{kind: mlflow, url: https://mlflow.example.com, user: robot,"
    " password: {secret: env/MLFLOW_PASSWORD}}",
)
BAD_RULE = Code(
    code="EF2030",
    summary="Rule cannot be read",
    text="`when` is a condition on the pipeline's results; it uses the fields that the postprocess"
    " operator gives, and nothing else.",
    cause="A typing error, or a field that this kind of result does not have.",
    example="when: count(class == person) > 2     # write class == 'person'",
)
SECRET_NOT_LISTED = Code(
    code="EF2031",
    summary="Secret is not listed",
    text="A stage reads a secret that the pipeline does not list in `secrets`; the runtime would refuse"
    " to start.",
    cause="A new broker or webhook, and `secrets` was not extended.",
    example="secrets: []     # add the name of the secret",
)
MASK_DOES_NOT_FIT = Code(
    code="EF2032",
    summary="Mask does not fit the input",
    text="`regions` black out parts of pictures, `channels` of series, `text` of text. A mask that cannot"
    " be laid over what the pipeline captures would cover nothing.",
    cause="The capture gives something else, or the mask was copied from another pipeline.",
    example="recording: {mask: {channels: [2]}}     # the capture gives pictures: regions",
)
OPEN_WITHOUT_TOKEN = Code(
    code="EF2033",
    summary="Server open without a token",
    text="A server that other machines reach must ask for a token. On its unix socket and on loopback it"
    " need not.",
    cause="`serving.address` was opened, and nothing says who may use it.",
    example="serving: {address: 0.0.0.0, port: 8000, token: oip_token}\nsecrets: [oip_token]",
)
VARIANT_ORIGIN = Code(
    code="EF2040",
    summary="Variant without one origin",
    text="A variant is a file of the model's version, or it is built from one: it has `file` or `build`.",
    cause="Both keys, or neither, as after merging two branches.",
    example="- {name: onnx-int8, engine: onnxruntime}      # add one of\n"
    "  file: model.int8.onnx\n"
    "  build: {source: model.onnx, recipe: [int8], calibration: data/cal, evaluation: data/eval}",
)
RECIPE = Code(
    code="EF2041",
    summary="Recipe does not fit",
    text="Each step of a recipe takes the format that the one before it gives, the engine reads what comes"
    " out, and steps that calibrate have a data set to do it with.",
    cause="Steps in the wrong order, another engine than the recipe is for, or no `calibration`.",
    example="recipe: [int8]      # needs\ncalibration: data/my-calibration",
)
LADDER = Code(
    code="EF2034",
    summary="Thermal ladder cannot be climbed",
    text="`limits.thermal` has rungs that begin at rising temperatures: slow, then smaller, then pause.",
    cause="A rung that begins at or below the one before it, or no rung at all.",
    example="thermal: {slow: {celsius: 80, fps: 5}, pause: {celsius: 75}}     # pause must begin above 80",
)
EGRESS_BROKEN = Code(
    code="EF2035",
    summary="More than results would leave the device",
    text="The site has `egress: results_only`: labels, numbers and places may leave a device, nothing of an"
    " input and no raw output of a model. `edgeform explain egress` lists what leaves.",
    cause="A server that listens for other machines.",
    example="serving: {address: 0.0.0.0, port: 8080}     # write 127.0.0.1, or egress: open on the Site",
)
NOT_PROVEN = Code(
    code="EF2036",
    summary="Nothing proves who is at the other end",
    text="A password is sent only where encryption proves who takes it, and a signed session needs a"
    " certificate of each side.",
    cause="`security: none` beside a password, or certificates that nobody named.",
    example="email: {host: relay, security: none, password: word}     # write security: starttls",
)
ALL = (
    VARIANT_ORIGIN,
    RECIPE,
    EGRESS_BROKEN,
    NOT_PROVEN,
    NO_PROVIDER,
    NO_SITE,
    TWO_SITES,
    DUPLICATE_NAME,
    UNKNOWN_REFERENCE,
    CYCLE,
    INCOMPLETE,
    SAME_ADDRESS,
    SECRET_PROVIDER,
    SECRET_MISSING,
    BAD_REFERENCE,
    VARIABLE_MISSING,
    VARIABLE_WRONG,
    VARIABLE_UNKNOWN,
    BAD_SELECTOR,
    SELECTS_NOTHING,
    BAD_RANGE,
    NO_SUCH_PATH,
    NO_VARIANT,
    SAME_PORT,
    UNFIT_AFTER_MERGE,
    WHICH_ROLLOUT,
    STAGES_DO_NOT_FIT,
    REGISTRY_LOGIN,
    BAD_RULE,
    SECRET_NOT_LISTED,
    MASK_DOES_NOT_FIT,
    OPEN_WITHOUT_TOKEN,
    LADDER,
)
