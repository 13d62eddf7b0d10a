"""WHEN it runs: Dagster's assets, checks, jobs, schedules and sensors. Nothing below imports Dagster."""

import warnings

import dagster as dg

# `backfill_policy` on an asset and dagster-pandera's types are in beta in the locked version; tests cover both.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
