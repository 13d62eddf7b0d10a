"""Record formats: each splits bytes into records, and decodes a record into fields.

Here: the protocol (`base`), one module or package for each format, and what several of them share. Not here: the table
of formats (`contracts.formats`), and opening files (`sources.files`).
"""
