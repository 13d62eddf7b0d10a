"""Prometheus itself, from Debian: it scrapes one address, follows rules, and says what it has seen."""

import itertools
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from sessions_platform_tests.servers.installs import from_debian
from sessions_platform_tests.servers.running import Server, free_port


class Prometheus:
    """A server that scrapes one address every few seconds, and evaluates rules, where it is given some, as often."""

    def __init__(self, folder: Path, target: int, rules: dict[str, Any] | None = None, seconds: int = 5) -> None:
        self.port, self.seconds, self.began = free_port(), seconds, time.time()
        scrape = {"job_name": "sessions-platform", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        timing = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{seconds}s")
        (folder / "rules.yml").write_text(yaml.safe_dump(rules or {}))
        configuration = {"global": timing, "scrape_configs": [scrape], "rule_files": ["rules.yml"]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        command = [
            from_debian("prometheus", "prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self.server = Server(command, folder, self._is_ready)

    def _is_ready(self) -> bool:
        """It listens before it answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now."""
        return self._asked("query", query=expression)["result"]

    def history(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression since the server was made, with a value for each scrape."""
        times = {"start": self.began, "end": time.time(), "step": self.seconds}
        return self._asked("query_range", query=expression, **times)["result"]

    def firing(self) -> set[str]:
        """The names of the rules that fire now."""
        return {series["metric"]["alertname"] for series in self.query('ALERTS{alertstate="firing"}')}

    def alerts(self) -> dict[str, int]:
        """By rule and labels, how often an alert has begun to fire."""
        began: dict[str, int] = defaultdict(int)
        for series in self.history('ALERTS{alertstate="firing"}'):
            labels = {key: value for key, value in series["metric"].items() if not key.startswith("__")}
            times = [float(at) for at, _ in series["values"]]
            later = [b for a, b in itertools.pairwise(times) if b - a > 1.5 * self.seconds]
            began[" ".join([labels.pop("alertname"), *labels.values()])] += 1 + len(later)
        return dict(began)

    def everything(self) -> str:
        """All alerts with their texts, as people are shown them."""
        return json.dumps(self._asked("rules"))

    def _asked(self, what: str, **parameters: Any) -> Any:
        with urlopen(f"http://127.0.0.1:{self.port}/api/v1/{what}?{urlencode(parameters)}") as answer:
            return json.load(answer)["data"]
