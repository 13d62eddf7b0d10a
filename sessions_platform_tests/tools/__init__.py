"""The tools that events come from, run: `make tools` records what they send, and the tests compare it with ours.

Here: the recorders, one folder for each kind of tool, and what they recorded in `fixtures`, which is never edited by
hand. Not here: the presets themselves and their samples.
"""
