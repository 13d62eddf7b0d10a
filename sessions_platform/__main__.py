"""python -m sessions_platform: the command line."""

from sessions_platform.cli import main

main()
