"""Writes files of Parquet and ORC by Spark, and beside each, as FILE.json, the rows that Spark reads from it."""

import base64
import json
import math
import shutil
import sys
import tempfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pyspark.sql import Row, SparkSession  # pyright: ignore[reportMissingImports]

SELECT = """
select
  id, cast(id * 3074457345618258602 as bigint) as n, cast(id as tinyint) as tiny, id = 1 as ok,
  array(cast('NaN' as double), 0.1D, cast('-Infinity' as double))[id - 1] as d, cast(0.1 as float) as f,
  concat('e', id, ' é😀') as text, cast('42' as binary) as raw, if(id = 2, null, 'some') as maybe,
  cast(array('12345678901234567890123456789.123456789', '-0.000000001', '42')[id - 1] as decimal(38, 9)) as price,
  cast(array('42', '-99999.99', '0.1')[id - 1] as decimal(9, 2)) as cents,
  cast(array('2026-01-01', '1969-12-31', '1600-02-29')[id - 1] as date) as day,
  cast(array('2026-01-01 12:00:00.123456Z', '1969-12-31 23:59:58.5Z', '1700-06-01 00:00:00Z')[id - 1] as timestamp)
    as at,
  cast(array('2026-01-01 12:00:00.123456', '1969-12-31 23:59:58.5', '1700-06-01 00:00:00')[id - 1] as timestamp_ntz)
    as local,
  if(id = 1, array(), array('x', null)) as tags, if(id = 1, null, map('k', id)) as counts,
  array(named_struct('sku', 's1', 'amount', cast(null as double)), named_struct('sku', 's2', 'amount', 1.5D)) as items,
  named_struct('city', if(id = 1, null, 'Köln'), 'at', named_struct('x', id)) as place
from range(1, 4)
"""
OPTIONS = {
    "int96": {"spark.sql.parquet.outputTimestampType": "INT96"},
    "micros": {"spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS"},
    "legacy": {"spark.sql.parquet.outputTimestampType": "INT96", "spark.sql.parquet.writeLegacyFormat": "true"},
}


def rendered(value: Any) -> Any:  # noqa: PLR0911  one for each type
    """Python's values of Spark's types as JSON. The session is in UTC, and so is this process."""
    if isinstance(value, Row):
        return {name: rendered(value[name]) for name in value.__fields__}
    if isinstance(value, dict):
        return {key: rendered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rendered(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytearray | bytes):
        return "data:;base64," + base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat().rstrip("0").rstrip(".") if value.microsecond else value.isoformat()
    return value.isoformat() if isinstance(value, date) else value


def read_back(frame: Any) -> list[Any]:
    """What Spark reads; instants with their offset, which Python's objects don't have."""
    rows = [rendered(row) for row in frame.sort("id").collect()]
    for row in rows:
        row["at"] += "+00:00"
    return rows


def main(folder: Path) -> None:
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    spark = spark.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    spark = spark.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    frame = spark.sql(SELECT).coalesce(1)
    for name, options in OPTIONS.items():
        for key, value in options.items():
            spark.conf.set(key, value)
        keep(spark, frame, folder / f"spark-{name}.parquet", "parquet")
    keep(spark, frame, folder / "spark.orc", "orc")
    spark.stop()


def keep(spark: SparkSession, frame: Any, path: Path, kind: str) -> None:
    with tempfile.TemporaryDirectory() as out:
        frame.write.mode("overwrite").format(kind).save(out)
        shutil.copy(next(Path(out).glob(f"part-*.{kind}")), path)
        rows = read_back(spark.read.format(kind).load(str(path)))
    path.with_name(f"{path.name}.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
