"""Avro object container files: the container (`container`, `codecs`), and rows as JSON (`rows`, `values`).

All of it runs in the child process only (`sources.formats.typed.worker`), because a broken file may crash the library
that decodes it or take all memory. The format itself is in `sources.formats.typed.format`.
"""
