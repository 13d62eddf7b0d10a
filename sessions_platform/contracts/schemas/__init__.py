"""The contracts of stored rows as schemas: types, what may be null, and the rules of values.

Here is all that tests values, in polars (`schema.py`) and in pandera, which takes longer to import than all else that a
command needs and is imported where an asset breaks its contract (`in_pandera.py`). Not here: which columns there are,
of which type and in which order; that is in the modules of ``contracts`` with the same names.
"""
