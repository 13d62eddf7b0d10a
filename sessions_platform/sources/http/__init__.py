"""HTTP APIs as a source: requests (`client`, `auth`), pages (`page`), and how far they were read (`sweep`)."""
