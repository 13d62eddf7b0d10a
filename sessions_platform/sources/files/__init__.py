"""Landing files as a source: their names (`paths`), finding (`source`) and opening them (`opening`), their bytes
(`content`) and their raw rows (`reader`).

Not here: how bytes are split into records (`sources.formats`).
"""
