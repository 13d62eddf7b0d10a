"""The stages that an event passes: ingest, validate, publish, sessionize, load; `run.py` shows them in order.

Each stage is a function of one stream's `StreamContext` that may be repeated, killed or run concurrently with itself.
Orchestration calls the stages, and so do tests. Here belong the order of the stages, their transactions and their
checks. Not here: rules about single rows and frames (`transforms`), files and SQL (`storage`), what operators do
besides the pipeline (`operations`), and Dagster (`orchestration`).
"""
