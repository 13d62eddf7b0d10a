"""What the data is: streams, columns, rules, partitions, and the schemas that follow from a stream's file.

Plain Python, but for the modules that are named for polars and those of `schemas`. Not here: reading data
(`sources`), and applying the rules to it (`transforms`).
"""
