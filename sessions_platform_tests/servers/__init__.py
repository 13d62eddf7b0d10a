"""Sources against real servers, which the tests install and start themselves on this machine's own address.

One module for each server (`object_stores`, `kafka`, …), and one of tests beside it. Here too: where the servers come
from (`installs`), how they are started and killed (`running`), and what disturbs their connections (`proxy`). All tests
are marked `servers`: `make servers` runs them, `make test` does not. Where a registry is out of reach, the tests of
what comes from it are skipped, and say so.
"""
