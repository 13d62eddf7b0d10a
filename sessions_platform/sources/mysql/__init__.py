"""MySQL and MariaDB tables as a source: their dialect (`table`), over one `server`.

It needs the extra `mysql`. Not here: the binary log, which is not read.
"""
