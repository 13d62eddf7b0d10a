"""Mutation testing: small defects are planted in the code, one at a time, and the tests have to fail.

A development tool: not part of the wheel, not run by CI. `python -m mutation` draws mutants by a fixed seed from
the packages that have the rules, plants each in a copy of the checkout, never in the checkout itself, and runs the
tests that execute its line, the quickest first. `sites` finds where defects can be planted, `record` finds out which
test executes which line, `trial` runs the tests of one mutant, and `report` writes the results.
"""
