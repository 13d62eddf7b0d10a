"""Landing files as a source: finding them (`source`), their bytes (`content`) and their raw rows (`reader`).

Not here: how bytes are split into records (`sources.formats`).
"""
