"""A raw event: a record as its source delivered it, and where it came from, before any validation.

The same columns serve every source. Of a text file, the preamble and then payload + line_terminator of each row, in the
order of position, are the decompressed text again. These three file columns, ``preamble``, ``line_terminator`` and
``header``, are null for a source that is not files, such as a log of messages. Not here: how a source is read
(``sources``) and how a payload becomes an event (``transforms.parse``).
"""

import polars as pl

RAW_EVENTS: dict[str, pl.DataType] = {
    "landing_partition": pl.String(),
    "source_uri": pl.String(),  # the file, or the slice of another source: the URI that the source gives it
    "position": pl.Int64(),  # of the record in its slice, from 1; a CSV header is not a record
    "preamble": pl.Binary(),  # in a file's first row: the bytes before it (a BOM, a CSV header); else null
    "payload": pl.Binary(),  # the record; where the bytes are corrupt, the URI of their quarantined copy
    "line_terminator": pl.Binary(),  # of a text file: LF, CR LF, or empty at the end of the file; else null
    "header": pl.Binary(),  # of a CSV file: the header that names the row's fields; else null
    "corrupt_reason": pl.String(),  # why the slice, or the rest of it, could not be read; else null
}

# Columns of lake files that were written under another name: the name today, and the one in the file.
RENAMED_COLUMNS = {"line_terminator": "line_end", "corrupt_reason": "unreadable"}
