"""python -m sessions_platform, and `sessions-platform`: the command line, and how it is interrupted as it starts.

Not here: the commands, and how they are interrupted (`cli`).
"""


def main() -> None:
    """Run the command line. Ctrl-C amid its first imports ends it as it ends a command, with exit code 130."""
    try:
        from sessions_platform.cli import main as run

        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
