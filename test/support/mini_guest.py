"""Test support, not product code: serves one function over a unix socket, without a sandbox.

Usage: mini_guest.py SOCKET CODE_DIR ENTRY_FILE. The function gets this process's environment. The
entry file defines `f(event)`, or `raw(handler)`. `raw` gets the BaseHTTPRequestHandler and writes
the response itself.
"""

import importlib.util
import json
import os
import socketserver
import sys
import traceback
from http.server import BaseHTTPRequestHandler


def load(code_dir, entry_file):
    sys.path.insert(0, code_dir)
    spec = importlib.util.spec_from_file_location("f", os.path.join(code_dir, entry_file))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    module = None

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return b"".join(self.chunks())
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def chunks(self):
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def serve(self):
        if hasattr(self.module, "raw"):
            self.module.raw(self)
            return
        body = self.read_body()
        try:
            result = self.module.f(json.loads(body) if body else {})
            self.reply(200, "application/json", json.dumps(result).encode())
        except Exception:
            self.reply(500, "text/plain", traceback.format_exc().encode())

    def reply(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        pass

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = serve


class Server(socketserver.UnixStreamServer):
    request_queue_size = 16

    def get_request(self):
        return super().get_request()[0], ("local", 0)

    def handle_error(self, request, client_address):
        pass


if __name__ == "__main__":
    with Server(sys.argv[1] + ".tmp", Handler) as server:
        Handler.module = load(sys.argv[2], sys.argv[3])
        os.rename(sys.argv[1] + ".tmp", sys.argv[1])
        server.serve_forever()
