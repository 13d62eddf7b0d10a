"""The view `user_sessions` as Dagster shows it: an asset that no run makes, since it is computed when it is read."""

from collections.abc import Iterator

import dagster as dg

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.user_sessions import view_columns
from sessions_platform.orchestration.asset_keys import key
from sessions_platform.orchestration.assets import EVERY_PARTITION, GROUP, tags


def user_sessions_assets(stream: Stream) -> Iterator[dg.AssetSpec]:
    """The view of a stream, where its file asks for it."""
    if stream.user_sessions is None:
        return
    columns = [dg.TableColumn(name, description=about) for name, about in view_columns(stream.user_sessions).items()]
    yield dg.AssetSpec(
        key(stream, "user_sessions"),
        description="Sessions by what their user did before. A view: it is right as soon as `sessions` is.",
        deps=[dg.AssetDep(key(stream, "sessions"), partition_mapping=EVERY_PARTITION)],
        group_name=GROUP,
        kinds={"postgres", "view"},
        owners=stream.owners,
        tags=tags(stream),
        metadata={"dagster/column_schema": dg.TableSchema(columns)},
    )
