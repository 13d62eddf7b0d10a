"""sessions → another warehouse: deliver loaded session partitions to a target.

Here: which partitions a target lacks, in which order they are applied, and what the ledger records of it. Not here:
what a target is (`storage/warehouses/base.py`), and the load into PostgreSQL, which comes first (`load.py`).

A partition is applied first and recorded afterwards, so that a process that is killed between the two applies it
again; targets are idempotent by digest. One process at a time delivers a stream to a target.
"""

import hashlib
from dataclasses import dataclass, field

import polars as pl

from sessions_platform.contracts.sessions import session_columns, sessionized_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.load import whole_sessions
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.storage.ledger.ledger import Delivery, SessionVersion, StaleWriteError
from sessions_platform.storage.warehouses.base import Target
from sessions_platform.storage.warehouses.postgres.copy_encoder import CopyEncoder
from sessions_platform.transforms.summarize import summarize


@dataclass(frozen=True)
class Delivered:
    """Session partitions by what a delivery did.

    `applied` ones were new to the target, `unchanged` ones it had already, and `pending` ones were left out, because
    another session rule made them: they have to be refreshed and loaded first.
    """

    applied: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)


def deliver(context: StreamContext, target: Target, run_id: str) -> Delivered:
    """Deliver the newest loaded state of every session partition to a target.

    A state of the same snapshot (the ledger's `deliveries.version`) and session rule as the one delivered last is not
    read again. A partition that is no longer loaded, as after a rebuild with another calendar, is applied without
    sessions.

    Args:
        context: the stream's, whose ledger says what is loaded and what was delivered.
        target: gets the sessions; its name is the key in the ledger.
        run_id: recorded with each delivery.

    Returns:
        The partitions by what was done, each list sorted.

    Raises:
        StaleWriteError: the target has a newer state of a partition.
        UserError: another process is delivering this stream to this target.
    """
    with context.database.alone(f"sessions_platform/{context.stream.name}/deliver/{target.name}") as is_alone:
        if not is_alone:
            raise UserError(
                f"{context.stream.name}: another process is delivering to {target.name}. Fix: wait until it has ended."
            )
        delivered = context.ledger.deliveries(target.name)
        with context.database.transaction(read_only=True) as connection:
            loaded = {version.session_partition: version for version in context.ledger.loaded_sessions(connection)}
        result = Delivered()
        for partition in sorted({*loaded, *delivered}):
            version, last = loaded.get(partition), delivered.get(partition)
            if version and version.session_rule_version != context.stream.session_rule_version:
                result.pending.append(partition)
            elif _deliver(context, target, partition, version, last, run_id):
                result.applied.append(partition)
            else:
                result.unchanged.append(partition)
        return result


def sessions_digest(sessions: pl.DataFrame, stream: Stream) -> str:
    """The session rule's version, a hyphen, and SHA-256 of the names and values of all columns in hexadecimal digits.

    Args:
        sessions: with the columns of the contract, sorted by session_id.
        stream: whose contract it is.
    """
    columns = session_columns(stream)
    digest = hashlib.sha256(",".join(columns).encode())
    for chunk in CopyEncoder(columns).rows(sessions):
        digest.update(chunk)
    return f"{stream.session_rule_version}-{digest.hexdigest()}"


def _deliver(
    context: StreamContext,
    target: Target,
    partition: str,
    loaded: SessionVersion | None,
    last: Delivery | None,
    run_id: str,
) -> bool:
    """Bring one partition of the target up to date; whether it was applied. `loaded` is None if it exists no longer."""
    stream = context.stream
    version = loaded.snapshot if loaded else last.version if last else 0
    if last and last.version > version:
        raise StaleWriteError(
            f"{stream.name}: {target.name} has a newer state of session partition {partition}: version "
            f"{last.version}, and {version} is loaded"
        )
    if loaded and last and last.version == version and last.digest.startswith(f"{stream.session_rule_version}-"):
        return False
    sessions = _sessions_of(context, loaded)
    digest = sessions_digest(sessions, stream)
    is_new = last is None or last.digest != digest
    if is_new:
        target.apply(partition, sessions, digest)
    context.ledger.record_delivery(Delivery(target.name, partition, version, digest), run_id)
    return is_new


def _sessions_of(context: StreamContext, loaded: SessionVersion | None) -> pl.DataFrame:
    """The sessions of a loaded state, made from its sessionized events as the load makes them, sorted by id."""
    empty = pl.DataFrame(schema=session_columns(context.stream))
    if loaded is None:
        return empty
    partition = loaded.session_partition
    dataset = Dataset(context.lake, sessionized_columns(context.stream), {partition: (loaded.stored,)})
    frames = (summarize(events, context.stream) for events in whole_sessions(dataset.blocks()))
    return pl.concat([empty, *frames]).sort("session_id")
