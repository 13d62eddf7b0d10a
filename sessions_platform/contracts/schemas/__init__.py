"""The contracts of stored rows as pandera schemas: types, what may be null, and the rules of values.

Here is all that needs pandera, which brings pandas and takes longer to import than all else that a command needs. So
only what validates rows or shows rules imports these modules. Not here: which columns there are, of which type and in
which order; that is in the modules of ``contracts`` with the same names.
"""
