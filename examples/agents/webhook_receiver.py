"""The card checker as a webhook: LUMOS brings the entries, signed as Standard Webhooks says.

    LUMOS_SERVER=… LUMOS_TOKEN=… WEBHOOK_SECRET=whsec_… python3 webhook_receiver.py 127.0.0.1:9000 seen.txt

An entry comes at least once. The same entry has the same `webhook-id`, so one that was dealt with is only acknowledged.
Any answer but 2xx brings it again later; 410 ends it until an operator asks LUMOS to try again.
"""

import base64
import hashlib
import hmac
import http.client
import http.server
import json
import os
import sys
import time

from card_checker import TYPES, handle
from lumos import Lumos, Refused

# A message that is older, or from the future, may be a copy that somebody kept.
TOLERANCE_S = 300
BODY_BYTES_MAX = 1 << 20


def verify(secrets, headers, body, now):
    """Whether one of the secrets signed this message, not long ago. Only then is it looked into."""
    try:
        message, sent = headers["webhook-id"], headers["webhook-timestamp"]
        if abs(now - int(sent)) > TOLERANCE_S:
            return False
    except (TypeError, ValueError):
        return False
    signed = f"{message}.{sent}.".encode() + body
    given = [s.removeprefix("v1,") for s in (headers["webhook-signature"] or "").split(" ") if s.startswith("v1,")]
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        if any(hmac.compare_digest(expected, one) for one in given):
            return True
    return False


class Receiver(http.server.BaseHTTPRequestHandler):
    # Whoever sends nothing does not keep others waiting for long.
    timeout = 10

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if not 0 <= length <= BODY_BYTES_MAX:
            return self.answer(413)
        body = self.rfile.read(length)
        if not verify(self.server.secrets, self.headers, body, time.time()):
            return self.answer(401)
        message = self.headers["webhook-id"]
        if message in self.server.seen:
            return self.answer(204)
        entry = json.loads(body)
        try:
            if entry["type"] == TYPES:
                handle(self.server.lumos, entry)
        except (Refused, OSError, http.client.HTTPException):
            # Brought again later.
            return self.answer(503)
        with open(self.server.path, "a", encoding="ascii") as seen:
            seen.write(message + "\n")
        self.server.seen.add(message)
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    server = http.server.HTTPServer((host, int(port)), Receiver)
    server.lumos = Lumos(os.environ["LUMOS_SERVER"], os.environ["LUMOS_TOKEN"])
    # Two while one takes the place of the other.
    server.secrets = os.environ["WEBHOOK_SECRET"].split()
    server.path = sys.argv[2]
    server.seen = set()
    if os.path.exists(server.path):
        with open(server.path, encoding="ascii") as seen:
            server.seen.update(seen.read().split())
    print(f"listens on {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
