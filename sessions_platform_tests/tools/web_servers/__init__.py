"""The web servers themselves, run with planted requests, to hold the presets of their logs against.

Here: the requests, the servers, and how they are run. What they logged is in `fixtures/web_servers`.
"""
