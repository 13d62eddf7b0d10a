"""PostgreSQL tables as a source: by their rows (`table`, `transactions`), or by their log (`slot`, `changes`)."""
