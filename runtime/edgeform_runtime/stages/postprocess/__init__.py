"""Postprocessors: from tensors to a result; `stages.postprocessors` knows which is which."""
