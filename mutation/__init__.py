"""How much the tests notice: small defects are planted in the code, one at a time, and the tests have to fail.

A development tool: not part of the wheel, not run by CI. `python -m mutation` picks mutants by a fixed seed from
all places in the rooms where the rules are, plants each in a copy of the checkout, never in the checkout itself,
and runs the tests that execute its line, the quickest first. `sites` finds the places, `record` learns which test
executes which line, `trial` runs the tests of one mutant, `report` writes what came of it.
"""
