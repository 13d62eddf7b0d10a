"""The report of a stream: one HTML page without scripts and without network, with every number beside its picture.

`data.py` counts, `charts.py` draws, `sections.py` says what stands in the report and in which words, `page.py` makes
the page of it. Not here: the SQL (`storage/warehouses/postgres/report_queries.py`), how silences are counted
(`transforms/silences.py`), and who asks for a report (`cli/report.py`, `orchestration/report.py`).
"""
