"""Parquet: the format (`format`), the process that reads files (`reader_process`, `worker`), and rows as JSON (`rows`).

`worker` and `rows` run in the child process only.
"""
