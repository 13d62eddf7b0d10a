"""A delivery of Parquet files to a bucket, whose process stops right before the manifest is replaced."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import deliver
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.warehouses.base import LaterDeliveryError
from sessions_platform.storage.warehouses.parquet_places import BucketPlace
from sessions_platform_tests.storage.targets import ONE, RUN, TWO, add_an_event, the_target


def stopped_before_it_is_published(context: StreamContext, meanwhile: Callable[[], object]) -> None:
    """Deliver an event, and be refused: before that is published another is loaded, and something done meanwhile."""
    add_an_event(context, ONE, "first")
    publish, stopped = BucketPlace.publish, list[bool]()

    def overtaken(place: BucketPlace, manifest: bytes) -> bool:
        if not stopped:
            stopped.append(True)
            add_an_event(context, TWO, "late")
            meanwhile()
        return publish(place, manifest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "alone", lambda *_: nullcontext(True))
        patch.setattr(BucketPlace, "publish", overtaken)
        with pytest.raises(LaterDeliveryError, match="a later delivery has changed it"):
            deliver(context, the_target(context), RUN)
    assert stopped
