"""A delivery in a process that kills itself at a given point.

Run as: python -m sessions_platform_tests.storage.killed_delivery POINT, with the stream's keys as JSON in the variable
STREAM_KEYS. Points are numbered in the order of execution: one before and one after each watched call. Point 0 kills
nothing, and the number of points is printed.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import psycopg
from clickhouse_connect.driver.httpclient import HttpClient
from pyiceberg.catalog.sql import SqlCatalog
from pymongo.collection import Collection

from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import deliver
from sessions_platform.settings import Settings
from sessions_platform.sources.objects.failures import Failures
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform.storage.warehouses import duckdb_file, iceberg_tables, parquet_folder, parquet_places
from sessions_platform_tests.operations.killed_replay import count_points
from sessions_platform_tests.storage.targets import the_target

_WATCHED = [
    (Ledger, "begin_delivery"),
    (Ledger, "record_deliveries"),
    (shutil, "copyfile"),
    (duckdb_file, "sync"),
    (duckdb_file.DuckdbFile, "_prepare"),
    (duckdb_file.DuckdbFile, "_change"),
    (parquet_places, "sync"),
    (parquet_folder, "write_parquet"),
    (Failures, "asked"),
    (iceberg_tables, "_written"),
    (SqlCatalog, "commit_table"),
    (Collection, "insert_many"),
    (Collection, "update_one"),
    (Collection, "delete_many"),
    (HttpClient, "command"),
    (HttpClient, "raw_insert"),
    (Path, "rename"),
    (Path, "replace"),
    (Path, "unlink"),
    (Path, "rmdir"),
    (psycopg.Connection, "commit"),
]

if __name__ == "__main__":
    stream = Stream.model_validate(json.loads(os.environ["STREAM_KEYS"]))
    opened = StreamContext.open(stream, Settings.from_environment())
    points = count_points(int(sys.argv[1]), _WATCHED)
    deliver(opened, the_target(opened), "a killed delivery")
    sys.stdout.write(f"{points()}\n")
