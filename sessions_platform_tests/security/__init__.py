"""What must never be stored or printed: secrets, and code in the form of pickles.

Not here: roles of the database, which are tested beside `storage/postgres`, and versions (`make sbom`).
"""
