"""Runs moto's S3 on a free port of loopback and prints its address.

moto looks at a condition and then writes; a real store does both at once. So one request at a time changes something
here. With `--deaf` it passes over conditions, as stores do that know nothing of them. It keeps everything in memory.
"""

import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


def main():
    deaf = "--deaf" in sys.argv
    inner = DomainDispatcherApplication(create_backend_app)
    changing = threading.Lock()

    def app(environ, start_response):
        if deaf:
            environ.pop("HTTP_IF_MATCH", None)
            environ.pop("HTTP_IF_NONE_MATCH", None)
        if environ["REQUEST_METHOD"] == "GET":
            return inner(environ, start_response)
        with changing:
            return inner(environ, start_response)

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


main()
