"""Opens the format of a stream, by the table `contracts.formats.FORMATS`.

The only place that goes from a format's name to its implementation, which is imported when the
first stream needs it.
"""

from pkgutil import resolve_name

from sessions_platform.contracts.formats import FORMATS, FormatOptions
from sessions_platform.sources.formats.base import Format
from sessions_platform.sources.formats.nested import NestedFormat, nested_options


def open_format(options: FormatOptions) -> Format:
    """The format that the options name, which splits and decodes as they say."""
    file_format = resolve_name(FORMATS[options.format].implementation)(options)
    if options.parse is None:
        return file_format
    return NestedFormat(file_format, open_format(nested_options(options, options.parse)), options.parse)
