"""Run the command line as ``python -m activome.cli``."""

from activome.cli import main

main()
