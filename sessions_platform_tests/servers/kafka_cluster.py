"""A cluster of three brokers of Apache Kafka, each with a copy of all messages, of which tests kill one.

Not here: one broker alone, with passwords and a proxy (`kafka`).
"""

import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sessions_platform_tests.servers.installs import from_maven
from sessions_platform_tests.servers.kafka import JAVA, VERSION, Sent
from sessions_platform_tests.servers.running import Server, free_port

_BROKERS = (1, 2, 3)


class KafkaBrokers:
    """Three brokers that run; `servers` has each by its id."""

    def __init__(self, folder: Path) -> None:
        jars = f"{from_maven(VERSION)}/*"
        self._plain = {number: free_port() for number in _BROKERS}
        self._controllers = {number: free_port() for number in _BROKERS}
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in self._plain.values())
        self.servers: dict[int, Server] = {}
        for number in _BROKERS:
            home = folder / str(number)
            home.mkdir()
            settings = home / "server.properties"
            settings.write_text(self._settings(number, home))
            format_data = (*JAVA, "-cp", jars, "kafka.tools.StorageTool", "format", "-t", "5L6g3nShT-eMCtK--X86sw")
            subprocess.run([*format_data, "-c", settings], check=True, capture_output=True, timeout=120)
            self.servers[number] = Server([*JAVA, "-cp", jars, "kafka.Kafka", settings], home, self._are_all_there)
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic whose messages each broker has."""
        self.admin.create_topics([NewTopic(topic, partitions, len(_BROKERS))])[topic].result()

    def send(self, topic: str, messages: Iterable[Sent]) -> None:
        """Send messages, and wait until two brokers at least have them."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 20})
        for key, value in messages:
            producer.produce(topic, value, key=key)
            producer.poll(0)
        assert producer.flush(60) == 0

    def leader(self, topic: str, partition: int) -> int:
        """The broker from which a partition is read."""
        return self.admin.list_topics(topic, timeout=10).topics[topic].partitions[partition].leader

    def _are_all_there(self) -> bool:
        try:
            found = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}).list_topics(timeout=1)
        except KafkaException:
            return False
        return len(found.brokers) == len(_BROKERS)

    def _settings(self, number: int, home: Path) -> str:
        plain, controller = self._plain[number], self._controllers[number]
        voters = ",".join(f"{each}@127.0.0.1:{port}" for each, port in self._controllers.items())
        return f"""
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAIN://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT
inter.broker.listener.name=PLAIN
log.dirs={home / "data"}
min.insync.replicas=2
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
auto.create.topics.enable=false
"""


@contextmanager
def three_brokers(folder: Path) -> Iterator[KafkaBrokers]:
    """A cluster that runs within `with`. Its brokers are started together, since none is ready before two others."""
    brokers = KafkaBrokers(folder)
    with ExitStack() as stack:
        for server in brokers.servers.values():
            stack.callback(server.kill)
        with ThreadPoolExecutor(len(_BROKERS)) as pool:
            list(pool.map(Server.start, brokers.servers.values()))
        yield brokers
