#!/usr/bin/env bash
# One would guess: boto3 raises an error where the body of a GetRecords answer is shorter than its Content-Length says, as
# after a broken connection or proxy.
# Seen: boto3 1.44.8 returns an answer without any field, and no error: no records, and no NextShardIterator, which is how
# Kinesis says that a shard has ended. A reader that goes by it leaves the shard, and all later records in it, unread.
# Python 3.11 to 3.13, boto3 1.44.8, botocore 1.44.8, 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check boto3==1.44.8 botocore==1.44.8
"$folder/venv/bin/python" - >"$folder/seen" <<'PYTHON'
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3
from botocore.config import Config

BODY = b'{"Records":[],"NextShardIterator":"next","MillisBehindLatest":0}'


def ask(sent):
    """What GetRecords returns where the server breaks off after some bytes of the body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[:sent])

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = boto3.client(
        "kinesis",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        region_name="eu-central-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
        config=Config(retries={"total_max_attempts": 1}),
    )
    answer = client.get_records(ShardIterator="this")
    return {name: value for name, value in sorted(answer.items()) if name != "ResponseMetadata"}


print("whole:", ask(len(BODY)))
print("half:", ask(len(BODY) // 2))
print("nothing:", ask(0))
PYTHON
cat "$folder/seen"
diff "$folder/seen" - <<'EXPECTED'
whole: {'MillisBehindLatest': 0, 'NextShardIterator': 'next', 'Records': []}
half: {}
nothing: {}
EXPECTED
