"""Requests to Kinesis, by boto3: the shards of a data stream, and their records; and what its errors mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as NotConnectedError

from sessions_platform.contracts.kinesis_source import KinesisSource
from sessions_platform.contracts.secrets import text_of
from sessions_platform.contracts.values import spelled
from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.patience import patiently

# By request what each answer has. boto3 takes a body that was cut off for an empty one, which would be a shard's end.
_HAS = {
    "describe_stream_summary": "StreamDescriptionSummary",
    "list_shards": "Shards",
    "get_shard_iterator": "ShardIterator",
    "get_records": "Records",
}
_EXPIRED = "ExpiredIteratorException"
_MAY_PASS = {
    "ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException", "ThrottlingException",
    "InternalFailure", "InternalFailureException", "ServiceUnavailable", "RequestTimeout",
}  # fmt: skip
_CREDENTIALS = "correct source.access_key_id and the environment variable of source.secret_access_key"
_FIXES = {
    "ResourceNotFoundException": "correct source.stream and source.region",
    "AccessDeniedException": "grant kinesis:DescribeStreamSummary, ListShards, GetShardIterator and GetRecords",
    "KMSAccessDeniedException": "grant kms:Decrypt on the stream's key",
    "UnrecognizedClientException": _CREDENTIALS,
    "InvalidSignatureException": _CREDENTIALS,
    "ExpiredTokenException": "renew the session of AWS's credentials",
}


@dataclass(frozen=True)
class Shard:
    """A shard: its parents, of which those that are expired are not listed, and whether it gets no more records."""

    id: str
    parents: Sequence[str] = ()
    is_closed: bool = False


@dataclass(frozen=True)
class DataStream:
    """A data stream as it is now; one of the same name that was made anew has another time of creation."""

    created: str
    retention: timedelta
    shards: Sequence[Shard]


class Record(NamedTuple):
    """A record as Kinesis has it. Sequence numbers are compared as integers."""

    sequence_number: int
    partition_key: str
    arrived: datetime
    data: bytes


class Answer(NamedTuple):
    """Some records of a shard, none perhaps; how far they are behind its end; and whether the shard ends with them."""

    records: Sequence[Record]
    behind: timedelta
    is_end: bool


class Kinesis(Protocol):
    """What the source asks; tests that need no server put a stand-in in its place."""

    def stream(self) -> DataStream:
        """The data stream as it is now."""
        ...

    def answers(
        self, shard: str, after: int | None, since: datetime | None = None, most: int | None = None
    ) -> Iterator[Answer]:
        """The records of a shard behind a sequence number, else from a time of arrival on, else from the oldest.

        It ends where the shard does. An answer has no more than `most` records.
        """
        ...


class KinesisClient:
    """One data stream.

    Each method raises SourceRefusedError where the stream can't be read, or was tried for as long as the source says.
    """

    def __init__(self, source: KinesisSource) -> None:
        """Raises UserError where an environment variable with a secret is not set."""
        self._source, self._name = source, source.stream
        credentials = {}
        if source.access_key_id is not None and source.secret_access_key is not None:
            credentials = {
                "aws_access_key_id": text_of(source.access_key_id, "source.access_key_id"),
                "aws_secret_access_key": source.secret_access_key.read("source.secret_access_key"),
            }
        # Trying again is ours, so that it ends when the stream says.
        config = Config(connect_timeout=10, read_timeout=30, retries={"total_max_attempts": 1})
        session = boto3.Session(region_name=source.region, **credentials)
        self._client: Any = session.client("kinesis", endpoint_url=source.endpoint_url, config=config)

    def stream(self) -> DataStream:
        """The data stream as it is now."""
        summary = self._asked("describe_stream_summary", StreamName=self._name)
        found = summary["StreamDescriptionSummary"]
        retention = timedelta(hours=found["RetentionPeriodHours"])
        return DataStream(found["StreamCreationTimestamp"].isoformat(), retention, list(self._shards()))

    def answers(
        self, shard: str, after: int | None, since: datetime | None = None, most: int | None = None
    ) -> Iterator[Answer]:
        """The records of a shard behind a sequence number, else from a time of arrival on, else from the oldest."""
        limit = {} if most is None else {"Limit": most}
        iterator = self._iterator(shard, after, since)
        while iterator is not None:
            try:
                answer = self._asked("get_records", ShardIterator=iterator, **limit)
            except _ExpiredError:
                iterator = self._iterator(shard, after, since)
                continue
            records = [_record(found) for found in answer["Records"]]
            records = [record for record in records if after is None or record.sequence_number > after]
            after = records[-1].sequence_number if records else after
            iterator = answer.get("NextShardIterator")
            yield Answer(records, timedelta(milliseconds=answer["MillisBehindLatest"]), iterator is None)

    def _iterator(self, shard: str, after: int | None, since: datetime | None) -> str:
        place: dict[str, Any] = {"StreamName": self._name, "ShardId": shard}
        if after is not None:
            place |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": str(after)}
        elif since is not None:
            place |= {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": since}
        else:
            place |= {"ShardIteratorType": "TRIM_HORIZON"}
        return self._asked("get_shard_iterator", **place)["ShardIterator"]

    def _shards(self) -> Iterator[Shard]:
        place = {"StreamName": self._name}
        while True:
            answer = self._asked("list_shards", **place)
            for found in answer["Shards"]:
                parents = [found[key] for key in ("ParentShardId", "AdjacentParentShardId") if key in found]
                yield Shard(found["ShardId"], parents, "EndingSequenceNumber" in found["SequenceNumberRange"])
            if not answer.get("NextToken"):
                return
            place = {"NextToken": answer["NextToken"]}

    def _asked(self, request: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a request, which is tried as long as the stream says."""
        bound = self._source.give_up_after
        try:
            return patiently(
                lambda: self._answer(request, arguments), lambda error: isinstance(error, SourceUnavailableError), bound
            )
        except SourceUnavailableError as failed:
            fix = "Fix: run again once it answers, or correct source.region and source.endpoint_url."
            raise SourceRefusedError(f"{failed}; it was tried for {spelled(bound)}. {fix}") from None

    def _answer(self, request: str, arguments: dict[str, Any]) -> dict[str, Any]:
        place = self._source.place
        try:
            answer = getattr(self._client, request)(**arguments)
        except ClientError as error:
            raise self._explained(error) from None
        except (NotConnectedError, HTTPClientError) as error:
            raise SourceUnavailableError(f"{place} can't be read: {str(error).rstrip('.')}") from None
        except NoCredentialsError:
            raise SourceRefusedError(
                f"{place}: AWS's credentials were not found. Fix: set them where AWS's tools look for them, or state "
                "source.access_key_id and source.secret_access_key."
            ) from None
        except BotoCoreError as error:
            raise SourceRefusedError(f"{place}: {error}. Fix: correct the keys of source.") from None
        if _HAS[request] not in answer:
            raise SourceUnavailableError(f"{place} can't be read: the answer to {request} was cut off")
        return answer

    def _explained(self, failed: ClientError) -> Exception:
        place, error = self._source.place, failed.response["Error"]
        code, said = error["Code"], " ".join(error.get("Message", "no reason was given").split()).rstrip(".")
        if code == _EXPIRED:
            return _ExpiredError()
        if code in _MAY_PASS or failed.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            return SourceUnavailableError(f"{place} can't be read: {code}: {said}")
        fix = _FIXES.get(code, "see the message, and the keys of source")
        return SourceRefusedError(f"{place}: {code}: {said}. Fix: {fix}.")


class _ExpiredError(Exception):
    """An iterator is used up to five minutes after it was given; a new one is asked for."""


def _record(found: dict[str, Any]) -> Record:
    arrived = found["ApproximateArrivalTimestamp"]
    return Record(int(found["SequenceNumber"]), found["PartitionKey"], arrived, bytes(found["Data"]))
