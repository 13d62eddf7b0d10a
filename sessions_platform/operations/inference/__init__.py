"""What files of unknown kind are, and which stream would read them, inferred from a sample of their rows.

Each module decides one matter and is pure but for `opened` and `sample`, which read the files by the platform's own
source and formats: so what is inferred is what a stream with these options reads. Not here: writing the stream's file,
and showing what its rows become (`operations.init`).
"""
