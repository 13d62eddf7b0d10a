"""The week as messages of Apache Kafka, one broker in KRaft mode: Kafka and Java have to be installed."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sessions_platform.demo.deliveries import ArrivedLine
from sessions_platform.demo.served import Place
from sessions_platform.demo.served.process import filled_once, is_filled, ports, running
from sessions_platform.demo.visits import EPOCH_MS
from sessions_platform.errors import MissingExtraError, UserError

_TOPIC = "web_shop"
_CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"  # any; of the documentation's form
_START_SCRIPTS = ("kafka-server-start.sh", "kafka-server-start")
# Small, and quick to start.
_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_DOWNLOAD = "unpack https://kafka.apache.org/downloads and set KAFKA_HOME to its folder"


@contextmanager
def serve(folder: Path, lines: Sequence[ArrivedLine]) -> Iterator[Place]:
    """A topic with a message for each line, whose timestamp is the time of its arrival."""
    java = _java(_jars())
    _client()
    chosen = ports(folder, "broker", "controller")
    if not is_filled(folder):
        shutil.rmtree(folder / "data", ignore_errors=True)  # of a demo that was ended amid its messages
    settings = folder / "server.properties"
    settings.write_text(_settings(folder / "data", chosen["broker"], chosen["controller"]))
    if not (folder / "data").exists():
        _format(java, settings)
    at = f"127.0.0.1:{chosen['broker']}"
    with running([*java, "kafka.Kafka", settings], folder, lambda: _answers(at), "Apache Kafka"):
        with filled_once(folder) as is_empty:
            if is_empty:
                _send(at, lines)
        yield Place({"type": "kafka", "bootstrap_servers": at, "topic": _TOPIC})


def _jars() -> Path:
    """The folder of the jars of an installed Kafka."""
    home = os.environ.get("KAFKA_HOME", "").strip()
    script = next(filter(None, map(shutil.which, _START_SCRIPTS)), None)
    if not home and script is None:
        raise UserError(
            f"Apache Kafka is not installed: {_START_SCRIPTS[0]} is not on the path, and KAFKA_HOME is not set. "
            f"Fix: {_DOWNLOAD}."
        )
    roots = [Path(home)] if home else [Path(str(script)).resolve().parents[1]]
    roots += [root / "libexec" for root in roots]  # Homebrew's
    jars = next((root / "libs" for root in roots if any((root / "libs").glob("kafka*.jar"))), None)
    if jars is None:
        raise UserError(f"{roots[0]} has no folder libs with Apache Kafka's jars. Fix: {_DOWNLOAD}.")
    return jars


def _java(jars: Path) -> list[str | Path]:
    """The command that runs a class of Kafka's."""
    home = os.environ.get("JAVA_HOME", "").strip()
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        raise UserError("Apache Kafka needs Java, which is not on the path. Fix: install a Java runtime of version 17.")
    return [java, *_OPTIONS, "-cp", f"{jars}/*"]


def _format(java: Sequence[str | Path], settings: Path) -> None:
    command = [*java, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", settings]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing was said"]
        raise UserError(f"Apache Kafka can't make its folder: {said[-1]}. Fix: {_DOWNLOAD}.")


def _settings(data: Path, broker: int, controller: int) -> str:
    return f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
log.dirs={data}
# The week is past: by default its messages would be deleted for their age.
log.retention.ms=-1
log.message.timestamp.before.max.ms=9223372036854775807
log.message.timestamp.after.max.ms=9223372036854775807
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
num.partitions=1
auto.create.topics.enable=false
"""


def _client() -> Any:
    try:
        import confluent_kafka
        import confluent_kafka.admin
    except ModuleNotFoundError:
        raise MissingExtraError("confluent-kafka", "kafka") from None
    return confluent_kafka


def _answers(at: str) -> bool:
    client = _client()
    try:
        return bool(client.admin.AdminClient({"bootstrap.servers": at, "log_level": 0}).list_topics(timeout=1).brokers)
    except client.KafkaException:
        return False


def _send(at: str, lines: Sequence[ArrivedLine]) -> None:
    client = _client()
    topic = client.admin.NewTopic(_TOPIC, num_partitions=1, replication_factor=1)
    admin = client.admin.AdminClient({"bootstrap.servers": at})
    admin.create_topics([topic])[_TOPIC].result()
    producer = client.Producer({"bootstrap.servers": at, "enable.idempotence": True, "linger.ms": 20})
    for line in lines:
        producer.produce(_TOPIC, line.line.encode(), timestamp=EPOCH_MS + line.ms)
        producer.poll(0)
    if left := producer.flush(60):
        raise UserError(f"Apache Kafka did not take {left} messages within a minute. Fix: run the demo again.")
