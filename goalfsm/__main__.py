"""Run the command line as ``python -m goalfsm``."""

from goalfsm.cli import program

if __name__ == "__main__":
    program()
