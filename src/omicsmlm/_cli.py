"""The entry point of the command ``omicsmlm``; its parts are in the room ``cli``."""

from omicsmlm.cli import app, main

__all__ = ["app", "main"]

if __name__ == "__main__":
    main()
