"""`python -m edgeform` is the same as `edgeform`."""

from edgeform.cli.main import main

main()
