"""Runs moto's S3 on a free port of loopback and prints its address. It keeps everything in memory.

moto looks at a condition and then writes; a real store does both at once. So one request at a time changes something
here. moto believes every signature; here a presigned request must have the one that botocore makes of it.

    serve.py SECRET     checks signatures with this access key
    serve.py SECRET --deaf
                        passes over conditions, as stores do that know nothing of them
"""

import sys
import threading
from urllib.parse import parse_qsl, quote, urlencode

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


def is_signed(environ, secret):
    """Whether the signature in the query is what botocore makes of this request and its signed headers."""
    query = parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)
    said = dict(query)
    key, _, region, _, _ = said["X-Amz-Credential"].split("/")
    unsigned = [pair for pair in query if pair[0] != "X-Amz-Signature"]
    address = f"http://{environ['HTTP_HOST']}{quote(environ['PATH_INFO'])}"
    request = AWSRequest(environ["REQUEST_METHOD"], f"{address}?{urlencode(unsigned, quote_via=quote, safe='')}")
    for name in said["X-Amz-SignedHeaders"].split(";"):
        request.headers[name] = environ.get("HTTP_" + name.upper().replace("-", "_"), "")
    request.context["timestamp"] = said["X-Amz-Date"]
    auth = S3SigV4QueryAuth(Credentials(key, secret), "s3", region)
    to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    return auth.signature(to_sign, request) == said["X-Amz-Signature"]


def main():
    secret, deaf = sys.argv[1], "--deaf" in sys.argv
    inner = DomainDispatcherApplication(create_backend_app)
    changing = threading.Lock()

    def app(environ, start_response):
        if "X-Amz-Signature" in environ["QUERY_STRING"] and not is_signed(environ, secret):
            start_response("403 Forbidden", [("content-type", "application/xml")])
            return [b"<Error><Code>SignatureDoesNotMatch</Code></Error>"]
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
