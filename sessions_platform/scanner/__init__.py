"""The scanner: an optional library in C that reads plain rows of JSON, several times as fast as polars can.

It makes UUIDs and columns of messages, and finds texts among distinct ones, too. Here: its source (`scanner.c`,
`digests.c`, `messages.c`, `lookups.c`), how it is compiled (`build`, `check`), and how it is loaded and called
(`library`, `distinct_texts`). `make setup`, or `python -m sessions_platform.scanner`, compiles it where there is a C
compiler; without it everything works alike. Not here: which rows are given to it, and what is made of their values
(`transforms.parse.scanned`), of what UUIDs are made (`transforms.identifiers`), and which texts are looked for
(`transforms.enrich.inputs`).
"""
