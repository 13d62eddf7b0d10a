"""Files with types: Parquet, Arrow, ORC and Avro, read in a process of their own, with rows as JSON.

Here: the formats (`format`), the process that reads files (`reader_process`, `worker`), and rows of Parquet (`rows`),
and of Arrow and ORC (`arrow_and_orc`), as JSON. All but `format` and `reader_process` runs in the child process only.
Not here: what an Avro file consists of (`sources.formats.avro`).
"""
