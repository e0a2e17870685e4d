"""Run the command line as ``python -m activome``."""

from activome.cli import main

if __name__ == "__main__":
    main()
