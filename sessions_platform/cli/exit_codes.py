"""The exit codes of all commands. `--help` and docs/operations.md state them, too."""

DONE = 0
FAILED = 1
USER_ERROR = 2
# The command did what it was asked, and what it found or left needs somebody: rows that can't be replayed, lake files
# that can't be repaired, nearly all rows rejected.
NEEDS_ATTENTION = 3
# As a shell tells the end of a program by SIGINT, which is Ctrl-C, and by SIGPIPE, as in `… | head -1`.
INTERRUPTED = 130
NOBODY_READS = 141
