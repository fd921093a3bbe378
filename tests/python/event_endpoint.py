"""An HTTP service that takes events: event_endpoint.py FILE STATUS. Prints its URL, then serves until its stdin is closed.

Each POST becomes a line of FILE, a JSON object with path, content_type, authorization and body, and is answered with STATUS; one
that redirects leads to /elsewhere.
"""
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

taken, status = sys.argv[1], int(sys.argv[2])


class Taker(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        line = {
            "path": self.path,
            "content_type": self.headers["content-type"],
            "authorization": self.headers["authorization"],
            "body": json.loads(body),
        }
        with open(taken, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        answer = b"" if status < 300 else b"no room for events"
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("location", "/elsewhere")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
sys.stdin.read()
os._exit(0)
