"""The servers from which the demo's week may be read; apart, since the command line reads their names each time."""

from enum import StrEnum


class ServedBy(StrEnum):
    """A server, by the name of its module in `demo.served`."""

    kafka = "kafka"
    s3 = "s3"
    postgres = "postgres"
    http = "http"
