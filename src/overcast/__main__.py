"""`python -m overcast` is the `overcast` command."""

from overcast.cli import main

main()
