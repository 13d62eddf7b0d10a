"""Dagster's definitions: assets, checks, jobs, schedules and sensors, and the runs of the command line.

Here belongs when something runs and how it is shown. Not here: what it does, which is in `pipeline` and `operations`;
nothing below this package imports Dagster.
"""
