"""The operators of the stages, one module per stage; each is a dataclass.

`kind` is the key an operator has in a site spec and in the pipeline file. The runtime knows the same
names (`edgeform_runtime/pipeline`).
"""
