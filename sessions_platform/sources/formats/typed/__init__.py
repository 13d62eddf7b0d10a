"""Files with types: Parquet, Arrow, ORC and Avro, read in a process of their own, with rows as JSON.

Here: the formats (`format`), the process that reads files (`reader_process`, `worker`), what it reads of Parquet
(`parquet`), and of Arrow and ORC (`arrow_and_orc`), what it sends (`columns`), and rows as JSON: one by one (`rows`),
and many at once (`payloads`). All but `format`, `reader_process` and `payloads` runs in the child process only. Not
here: what an Avro file consists of (`sources.formats.avro`).
"""
