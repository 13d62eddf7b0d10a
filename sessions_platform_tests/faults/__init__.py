"""Faults: processes killed, stopped or doubled, connections cut, disks filled, files damaged, clocks that jump.

Each scenario disturbs a command, runs the command again as a user would, and compares with a run that was never
disturbed: no row lost, none doubled, and the user got a sentence. Not here: whether undisturbed results are right
(`exactness`), and what one module does with one error, which is tested beside that module.
"""
