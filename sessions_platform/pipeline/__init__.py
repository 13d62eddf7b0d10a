"""What happens to an event, stage by stage: land, judge, sessionize, load.

Each stage is a function over one stream's `Workspace` that can be run again, killed or
raced. Dagster's assets call them; so do tests. Nothing here knows Dagster.
"""
