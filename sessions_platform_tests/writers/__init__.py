"""Files that other people's writers have made (`files`), and the test that each value is read as its writer reads it.

The programs that make them anew are in `programs`, and run by `make_files`.
"""
