"""Where raw records come from: sources find slices and read each into raw rows.

Here: the protocol (`base`), the sources, and the record formats (`formats`). Not here: the keys of a stream's file
(`contracts.sources`), and what rows mean (`transforms.parse`).
"""
