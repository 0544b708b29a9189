"""The worker process: pyinfra, paramiko and gevent live here and nowhere else.

Started as `python -m edgeform.transport.worker`. This file imports nothing, so that the first thing
that happens in the process is the monkey-patching in `__main__`.
"""
