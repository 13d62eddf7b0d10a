"""Zip and tar archives: what is in them (`members`, `zip`, `tar`), and the bytes of a member.

Not here: which landing files are archives, and how a member becomes a slice (`sources.files.archives`).
"""
