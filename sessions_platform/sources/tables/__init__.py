"""Rows of tables as a source, of any database: which are new (`increments`), and reading them (`source`).

A database is a dialect of SQL, which keeps `table.ServerTable`. Not here: its dialect, its connections and what its
errors mean (`sources.postgres`, `sources.mysql`).
"""
