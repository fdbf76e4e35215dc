"""Takes webhooks and verifies each with the reference library of Standard Webhooks; says on a line what it got.

    webhooks.py STATUS,STATUS,… SECRET…

The first messages are answered with the statuses, all later ones with 204. No status is 0.
"""

import http.server
import json
import sys
import threading

from standardwebhooks import Webhook, WebhookVerificationError

# Two threads that print at once would share a line.
LINE = threading.Lock()


def verifies(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        statuses = self.server.statuses
        status = statuses.pop(0) if statuses else 204
        entry = json.loads(body)
        seen = {
            "id": headers["webhook-id"],
            "type": entry["type"],
            "content_type": headers["content-type"],
            "verified": [verifies(secret, body, headers) for secret in self.server.secrets],
            "changed": verifies(self.server.secrets[0], body + b" ", headers),
            "status": status,
        }
        with LINE:
            print(json.dumps(seen), flush=True)
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
server.statuses = [int(status) for status in sys.argv[1].split(",")]
server.secrets = sys.argv[2:]
print(server.server_address[1], flush=True)
server.serve_forever()
