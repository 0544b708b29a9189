"""The stages of a pipeline file as typed values; the counterpart of `edgeform/domain/stages`.

Everything that can be refused without a model or a frame is refused here, with the field named. Each
stage has a module: its operators' dataclasses, their readers, and `OPERATORS`, the table by kind.
"""

from edgeform_runtime.pipeline.stages import Stages, stages_of

__all__ = ["Stages", "stages_of"]
