"""What the configuration of any enrichment states; the base of the models that ``enrichments`` lists.

Here: which columns an enrichment adds, which it reads, and what its version is made of. Not here: the enrichments that
there are (``enrichments``), and how they compute (``transforms.enrich``).
"""

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from pydantic import PrivateAttr

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.data_files import located
from sessions_platform.contracts.issues import Issue, Raw
from sessions_platform.contracts.model import Model
from sessions_platform.contracts.values import invalid


class EnrichmentConfig(Model):
    """The keys of one enrichment, as a stream's file has them below `enrich`.

    `implementation` is the import string of a `transforms.enrich.base.Maker`, which is called with the configuration.
    `code_version` is raised whenever the same event could get other values. `adds` are the columns that it adds, with
    their types; all of them may be null. `reads_types` are the types that a column to read may have. One with `repeats`
    may be stated several times, as a list. One that `copies_files` is called with a folder for that, too. With
    `shows_inputs` inputs without a value are listed in metadata, which is not for what identifies people; nor are the
    values of the added columns that are `identifying`.
    """

    implementation: ClassVar[str]
    code_version: ClassVar[int] = 1
    adds: ClassVar[Mapping[str, ColumnType]] = {}
    reads_types: ClassVar[tuple[ColumnType, ...]] = (ColumnType.string,)
    repeats: ClassVar[bool] = False
    copies_files: ClassVar[bool] = False
    shows_inputs: ClassVar[bool] = False
    identifying: ClassVar[frozenset[str]] = frozenset()

    _folder: Path = PrivateAttr(default_factory=Path)
    _home: Path = PrivateAttr(default_factory=Path)

    def model_post_init(self, context: Any, /) -> None:
        """Take the folders that paths are relative to from the context of the validation, where it has one."""
        if isinstance(context, Mapping):
            self._folder, self._home = context["folder"], context["home"]

    def located(self, name: str) -> Path:
        """The path of a file that the keys name."""
        return located(name, self._folder, self._home)

    def check_files(self, kinds: Mapping[str, Any]) -> None:
        """Raise UnusableFileError where a file that the keys name can't be used, or a module is not there.

        Args:
            kinds: the types of the event's columns, as the stream's file states them.
        """

    def issues(self, raw: Raw) -> Iterator[Issue]:  # noqa: ARG002  used by those that override it
        """What the stream's file, as YAML has read it, states elsewhere that does not go with these keys."""
        yield from ()

    @property
    def drops(self) -> tuple[str, ...]:
        """Columns of an event that are read, and are null in the stored event; they never decide what conflicts."""
        return ()

    @property
    def added(self) -> Mapping[str, ColumnType]:
        """The columns that it adds with these keys: `adds`, unless the keys name them."""
        return self.adds

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of an event that the values depend on, besides its time."""
        return ()

    @property
    def reads_time(self) -> bool:
        """Whether the values depend on `event_timestamp`, too."""
        return False

    @property
    def data_versions(self) -> Mapping[str, str]:
        """The versions of the data that the values depend on, by name."""
        return {}

    @property
    def version(self) -> dict[str, Any]:
        """All that decides the values of an event: the keys, and the versions of code and data."""
        keys = self.model_dump(mode="json", by_alias=True)
        return {"keys": keys, "code": self.code_version, "data": dict(self.data_versions)}


def package_versions(*names: str, extra: str) -> dict[str, str]:
    """The installed versions of packages whose data decide values.

    Args:
        names: of distributions.
        extra: of this project, that installs them.

    Raises:
        PydanticCustomError: one of them is not installed; with the command that installs it.
    """
    try:
        return {name: version(name) for name in names}
    except PackageNotFoundError as error:
        reason = f"the package {error.name} is not installed"
        raise invalid(reason, f"pip install 'sessions-platform[{extra}]'") from None
