"""The keys of a stream's assets: the prefix, where the stream is part of another project, its name, the asset's.

Here is every key that the platform makes, so that all of them have the prefix.
"""

import dagster as dg

from sessions_platform.contracts.stream import Stream


def key(stream: Stream, asset: str) -> dg.AssetKey:
    """The key of one of a stream's assets."""
    return dg.AssetKey([*source_key(stream).path, asset])


def source_key(stream: Stream) -> dg.AssetKey:
    """The key of a stream's source.

    It ends with the stream's name, because the lineage page shows only the last part of a key: without it the pipelines
    of two streams would look the same.
    """
    prefix = stream.key_prefix.split("/") if stream.key_prefix else []
    return dg.AssetKey([*prefix, stream.name])


def upstream_keys(stream: Stream) -> list[dg.AssetKey]:
    """The keys of other people's assets that land the stream's files, as `upstream` states them."""
    return [dg.AssetKey(stated.split("/")) for stated in stream.upstream]
