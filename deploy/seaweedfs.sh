#!/bin/sh
# An object store for one bucket, with one identity that may use it.
set -eu
umask 077
cat >/tmp/s3.json <<JSON
{"identities": [{"name": "sessions", "credentials": [{"accessKey": "sessions", "secretKey": "$LAKE_SECRET_KEY"}],
 "actions": ["Read:sessions", "Write:sessions", "List:sessions", "Tagging:sessions"]}]}
JSON
(
  until echo "s3.bucket.create -name sessions" | weed shell -master 127.0.0.1:9333 >/dev/null 2>&1; do sleep 2; done
) &
exec weed server -dir /data -ip 127.0.0.1 -ip.bind 0.0.0.0 -s3 -s3.config /tmp/s3.json
