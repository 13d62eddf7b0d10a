"""A data platform that turns raw events into sessions."""
