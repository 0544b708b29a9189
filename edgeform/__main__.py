"""`python -m edgeform` is the same as `edgeform`."""

from edgeform.cli.start import main

main()
