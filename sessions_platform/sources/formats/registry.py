"""Opens the format of a stream, by the table `contracts.formats.FORMATS`.

The only place that goes from a format's name to its implementation, which is imported when the
first stream needs it.
"""

from collections.abc import Mapping, Sequence
from pkgutil import resolve_name

from sessions_platform.contracts.formats import FORMATS, FormatOptions
from sessions_platform.sources.formats.base import Format, NamingFields
from sessions_platform.sources.formats.line_parts import SYNTAXES, PartsFormat
from sessions_platform.sources.formats.nested import NestedFormat, nested_options


def open_format(options: FormatOptions, required: Mapping[str, Sequence[str]] | None = None) -> Format:
    """The format that the options name, which splits and decodes as they say.

    Args:
        options: of a stream.
        required: to read whole files: for each column that can't be null, the fields that it may be read from.
    """
    opened: Format = resolve_name(FORMATS[options.format].implementation)(options)
    if required and isinstance(opened, NamingFields):
        nested = {options.parse.field: [options.parse.field]} if options.parse else {}
        opened = opened.requiring({**required, **nested})
    if options.parse is None:
        return opened
    if options.parts:
        opened = PartsFormat(opened, SYNTAXES[options.parts](options.parse.field))
    return NestedFormat(opened, open_format(nested_options(options, options.parse)), options.parse)
