"""An S3 server in memory with one empty bucket, `history`. Prints its URL, then serves until its stdin is closed.

Requests are answered one at a time, so that a conditional put is atomic, as it is in S3.
"""
import os
import sys
import threading

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

app = DomainDispatcherApplication(create_backend_app)
one_at_a_time = threading.Lock()


def locked(environ, start_response):
    with one_at_a_time:
        return [b"".join(app(environ, start_response))]


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *_):
        pass


server = make_server("127.0.0.1", 0, locked, threaded=True, request_handler=Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.port}"
client = boto3.client(
    "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
)
client.create_bucket(Bucket="history")
print(url, flush=True)
sys.stdin.read()
os._exit(0)
