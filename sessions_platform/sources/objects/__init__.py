"""Landing files that are objects of S3, Google Cloud Storage or Azure.

A `store` is listed (`listing`), an object is copied in one version (`copying`), and errors become sentences
(`failures`); `source` puts them together. What a copy contains is read like any landing file (`sources.files.reader`).
"""
