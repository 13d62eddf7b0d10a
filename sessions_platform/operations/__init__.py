"""What people do with a stream besides running its pipeline: status, audits, rebuild, replay, the dead-letter queue.

Not here: the pipeline's stages (`pipeline`), and how operations are started (`cli`, `orchestration`).
"""
