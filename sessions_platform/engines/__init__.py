"""Engines: what computes the sessions of a time window from accepted events.

Here: the protocol of an engine (``base``), the engines (one module each), the table that names them
(``registry``), and how an engine in this process reads accepted events (``accepted_events``). What a
session is belongs to ``transforms``; which partitions are computed, and where the results are stored
and recorded, to ``pipeline.sessionize``.
"""
