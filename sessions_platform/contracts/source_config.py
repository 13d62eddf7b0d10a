"""What every source states in a stream's file. Not here: which sources there are (`sources`)."""

from typing import ClassVar

from pydantic import Field

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.contracts.values import PositiveDuration
from sessions_platform.contracts.wrappers import Inside


class SourceConfig(FormatOptions):
    """What every source states: how its records are written.

    A subclass adds `type`, the literal that its stream files write, and keys of its own, and sets
    `implementation` to the import string of a callable that takes the stream and the settings and
    returns a `sources.base.Source`.
    """

    implementation: ClassVar[str]
    # Whether each of its records comes in an envelope, from which columns can be read (`^key`).
    has_envelope: ClassVar[bool] = False

    inside: Inside | None = Field(
        None, description="What the lines lie inside of; columns then lead into the line, and with ^ around it."
    )
    fresh_within: PositiveDuration | None = Field(
        None, description="How old the newest event may be for the check source_is_fresh; without it, of any age."
    )
    preset: str | None = Field(
        None, description="The tool whose files these are: what the stream does not state is as its preset has it."
    )

    @property
    def opened_by(self) -> str:
        """The import string of what opens it, where its keys choose between several."""
        return self.implementation

    @property
    def place(self) -> str:
        """Where it is, for people; without secrets."""
        return ""

    @property
    def about(self) -> dict[str, str]:
        """What the UI shows of where it is, by name; without secrets."""
        return {}

    @property
    def noun(self) -> str:
        """What people call one of the things that it has: file, object, row, message or record."""
        return "record"

    @property
    def place_of_record(self) -> list[str]:
        """The fields of the envelope that name each record of the source; none where nothing does."""
        return []

    @property
    def says_times(self) -> bool:
        """Whether it has a time of each record that is no part of what the stream's columns read."""
        return False

    @property
    def no_past(self) -> str:
        """Why it can't be asked for the records of a time that is past, as a clause; empty where it can."""
        return "files are found by their names"

    @property
    def kind(self) -> str:
        """What the UI shows it as: the format of files, or the type of server."""
        return self.format
