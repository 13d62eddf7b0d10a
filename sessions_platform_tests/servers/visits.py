"""Events as servers deliver them: with duplicates, late ones, conflicts and broken records among them."""

import json
import random
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


def visits(count: int) -> list[tuple[bytes, bytes]]:
    """User and record of so many events, in the order of their arrival, which for each user is always the same.

    Of a hundred two come twice, one again with other content, one is broken, and ten come days late.
    """
    chance = random.Random(18)
    arrivals: list[tuple[float, bytes, bytes]] = []
    for number in range(count):
        user = f"u{chance.randrange(count // 40 + 1)}"
        second = chance.randrange(20 * 24 * 3600)
        record = {"id": f"e{number:07}", "user": user, "ts": _iso(second), "type": chance.choice(["view", "buy"])}
        late = chance.random() < 0.1
        at = second + (chance.randrange(10**6) if late else 0)
        arrivals.append((at, user.encode(), json.dumps(record).encode()))
        draw = chance.random()
        if draw < 0.02:
            arrivals.append((at + chance.randrange(10**6), user.encode(), json.dumps(record).encode()))
        elif draw < 0.03:
            other = {**record, "type": "other"}
            arrivals.append((at + chance.randrange(10**6), user.encode(), json.dumps(other).encode()))
        elif draw < 0.04:
            arrivals.append((at, user.encode(), json.dumps(record).encode()[: chance.randrange(30)]))
    arrivals.sort(key=lambda arrival: arrival[0])
    return [(user, record) for _, user, record in arrivals]


def _iso(second: int) -> str:
    return (START + timedelta(seconds=second)).isoformat()
