"""`python -m edgeft` is the command `edgeft`."""

from edgeft.cli import main

if __name__ == "__main__":
    main()
