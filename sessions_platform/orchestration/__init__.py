"""WHEN it runs: Dagster's assets, checks, jobs, schedules and sensors. Nothing below imports Dagster."""

import os
import warnings

import dagster as dg

# `backfill_policy` on an asset and dagster-pandera's types are in beta in the locked version; tests cover both.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

# A range of a thousand partitions tells of each that it is materialized; in batches that takes a third of the time.
os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
