"""`sessions-platform presets`: the tools whose files a stream reads by naming them."""

from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import print_document, print_table


def presets(as_json: AsJson = False) -> None:
    """List the presets that the source of a stream may name, and on what each was proven.

    Example: sessions-platform presets
    """
    from sessions_platform.operations.presets import listed_presets

    rows = listed_presets()
    if as_json:
        print_document(rows, as_json)
    else:
        print_table(rows)
