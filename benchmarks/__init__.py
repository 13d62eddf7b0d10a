"""How fast the platform is, against the best that others do with the same data.

Not part of the wheel. `python -m benchmarks` makes its own data, runs ours and the peers in turn,
each as a process of its own, checks that all gave the same answer, and prints the ratios.
"""
