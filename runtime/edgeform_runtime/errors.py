"""What the runtime refuses or fails with; `code` is what the control socket and the log say.

RuntimeFault                internal
├── PipelineInvalid         pipeline        the pipeline file asks for what cannot be
├── ModelRefused            model           hostile, broken or foreign model file
├── EngineUnavailable       engine          not in this closure, or the provider is not in effect
├── FrameError              frame           an input that cannot be decoded; counted, never fatal
├── InferenceFailed         inference       the engine refused the tensors or gave unusable ones
├── RequestError            request         a client's mistake (HTTP status beside it)
├── SecretMissing           secret
└── NeedsRestart            needs_restart   this change cannot be hot-swapped
"""


class RuntimeFault(Exception):
    """A failure with one sentence that says what, where and why."""

    code = "internal"

    def __init__(self, summary: str) -> None:
        super().__init__(summary)
        self.summary = summary


class PipelineInvalid(RuntimeFault):
    code = "pipeline"


class ModelRefused(RuntimeFault):
    code = "model"


class EngineUnavailable(RuntimeFault):
    code = "engine"


class FrameError(RuntimeFault):
    """`reason` is one word for the metrics: corrupt, too_large, unsupported."""

    code = "frame"

    def __init__(self, summary: str, reason: str = "corrupt") -> None:
        super().__init__(summary)
        self.reason = reason


class InferenceFailed(RuntimeFault):
    code = "inference"


class RequestError(RuntimeFault):
    code = "request"

    def __init__(self, summary: str, status: int = 400) -> None:
        super().__init__(summary)
        self.status = status


class SecretMissing(RuntimeFault):
    code = "secret"


class NeedsRestart(RuntimeFault):
    code = "needs_restart"
