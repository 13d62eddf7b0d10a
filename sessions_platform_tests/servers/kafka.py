"""Apache Kafka itself, one broker in KRaft mode; its jars come by Maven.

It listens thrice: plainly, with a password (`reader` and `PASSWORD`), and behind a proxy that tests can disturb.
"""

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from confluent_kafka import IsolationLevel, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewPartitions, NewTopic

from sessions_platform_tests.servers.installs import from_maven
from sessions_platform_tests.servers.proxy import Proxy
from sessions_platform_tests.servers.running import Server, free_port

VERSION = "org.apache.kafka:kafka_2.13:4.4.0"
PASSWORD = "s3cr3t"
_LOGIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_reader="{PASSWORD}";'
# Small, and quick to start.
JAVA = ("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

Sent = tuple[bytes | None, bytes | None]  # key and value


class Kafka:
    """A broker. Kill it by `server.kill`, and start it again on the same data by `server.start`."""

    def __init__(self, folder: Path, proxy: Proxy, ports: tuple[int, int, int]) -> None:
        self.proxy = proxy
        self.plain, self.sasl, self.proxied = (f"127.0.0.1:{port}" for port in (*ports[:2], proxy.port))
        jars = f"{from_maven(VERSION)}/*"
        settings = folder / "server.properties"
        settings.write_text(_settings(folder, ports, proxy, free_port()))
        format_data = (*JAVA, "-cp", jars, "kafka.tools.StorageTool", "format", "-t", "5L6g3nShT-eMCtK--X86sw")
        subprocess.run([*format_data, "-c", settings], check=True, capture_output=True, timeout=120)
        self.server = Server([*JAVA, "-cp", jars, "kafka.Kafka", settings], folder, self._answers)
        self.admin = AdminClient({"bootstrap.servers": self.plain, "log_level": 0})

    def _answers(self) -> bool:
        try:
            return bool(AdminClient({"bootstrap.servers": self.plain, "log_level": 0}).list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def create(self, topic: str, partitions: int = 1, **config: str) -> None:
        """Make a topic; `retention_ms` is the key retention.ms."""
        stated = {name.replace("_", "."): value for name, value in config.items()}
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=stated)])[topic].result()

    def delete(self, topic: str) -> None:
        """Delete a topic, with its messages."""
        self.admin.delete_topics([topic])[topic].result()

    def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        self.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result()

    def send(self, topic: str, messages: Iterable[Sent], partition: int = -1) -> None:
        """Send messages, and wait until the broker has them; those of one key go to one partition, in order."""
        producer = Producer({"bootstrap.servers": self.plain, "enable.idempotence": True, "linger.ms": 20})
        for key, value in messages:
            producer.produce(topic, value, key=key, partition=partition)
            producer.poll(0)
        assert producer.flush(60) == 0

    @contextmanager
    def transaction(self, topic: str, values: Iterable[bytes], *, commits: bool) -> Iterator[None]:
        """A transaction that has sent these values, and is committed or aborted at the end of `with`."""
        producer = Producer({"bootstrap.servers": self.plain, "transactional.id": "test"})
        producer.init_transactions()
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value)
        assert producer.flush(60) == 0
        yield
        producer.commit_transaction() if commits else producer.abort_transaction()
        # The mark of its end is written a little later.
        while self._end(topic, IsolationLevel.READ_COMMITTED) < self._end(topic, IsolationLevel.READ_UNCOMMITTED):
            continue

    def _end(self, topic: str, level: IsolationLevel) -> int:
        place = TopicPartition(topic, 0)
        asked = self.admin.list_offsets({place: cast("OffsetSpec", OffsetSpec.latest())}, isolation_level=level)
        return asked[place].result().offset


@contextmanager
def kafka_in(folder: Path) -> Iterator[Kafka]:
    """A broker that runs within `with`."""
    ports = (free_port(), free_port(), free_port())
    with Proxy(ports[2]) as proxy:
        kafka = Kafka(folder, proxy, ports)
        with kafka.server:
            yield kafka


def _settings(folder: Path, ports: tuple[int, int, int], proxy: Proxy, controller: int) -> str:
    plain, sasl, proxied = ports
    return f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAIN://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},PROXIED://127.0.0.1:{proxied},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},PROXIED://127.0.0.1:{proxy.port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,PROXIED:PLAINTEXT,SASL:SASL_PLAINTEXT
inter.broker.listener.name=PLAIN
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config={_LOGIN}
log.dirs={folder / "data"}
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
auto.create.topics.enable=false
log.cleaner.backoff.ms=100
"""
