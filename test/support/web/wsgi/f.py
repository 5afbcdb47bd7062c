"""A small application in plain WSGI that behaves as frameworks do (test/support/web-app.ts)."""

import email.policy
import hashlib
import json
import time
from email.parser import BytesParser
from urllib.parse import parse_qs

STYLE = b"body { color: navy }\n"


def app(environ, start_response):
    """Routes by PATH_INFO. Unknown paths get a 404."""
    path = environ["PATH_INFO"].encode("latin-1").decode()
    method = environ["REQUEST_METHOD"]
    mount = environ["SCRIPT_NAME"]
    query = parse_qs(environ["QUERY_STRING"])
    base = f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}{mount}"

    def reply(body, kind="text/plain", status="200 OK", headers=()):
        data = body.encode() if isinstance(body, str) else body
        length = [("Content-Type", kind), ("Content-Length", str(len(data)))]
        start_response(status, length + list(headers))
        return [] if method == "HEAD" else [data]

    def redirect(where, status="302 Found", headers=()):
        return reply("moved", status=status, headers=[("Location", where), *headers])

    if method == "OPTIONS":
        return reply(b"", headers=[("Allow", "GET, HEAD, OPTIONS, POST")])
    if path == "/":
        return reply("index")
    if path == "/about":
        return reply("about")
    if path.startswith("/deep/"):
        told = {"path": path, "script": mount, "x": query.get("x", [""])[0]}
        return reply(json.dumps(told), "application/json")
    if path == "/list":
        return redirect(f"{base}/list/", "308 Permanent Redirect")
    if path == "/list/":
        return reply(f"list {method} {body_of(environ).decode()}")
    if path == "/go":
        return redirect(f"{mount}/about")
    if path == "/go-absolute":
        return redirect(f"{base}/about")
    if path == "/done" and method == "POST":
        return redirect(f"{mount}/about", "303 See Other")
    if path == "/away":
        return redirect("http://example.com/")
    if path == "/login":
        user = parse_qs(body_of(environ).decode())["user"][0]
        return redirect(f"{mount}/me", headers=[("Set-Cookie", f"user={user}; Path={mount}")])
    if path == "/me":
        return reply(f"hello {environ.get('HTTP_COOKIE', 'nobody').removeprefix('user=')}")
    if path == "/url":
        told = {"relative": f"{mount}/about", "absolute": f"{base}/about"}
        return reply(json.dumps(told), "application/json")
    if path == "/static/style.css":
        return reply(STYLE, "text/css")
    if path == "/form":
        fields = {key: values[0] for key, values in parse_qs(body_of(environ).decode()).items()}
        return reply(json.dumps(fields), "application/json")
    if path == "/upload":
        head = f"Content-Type: {environ['CONTENT_TYPE']}\r\n\r\n".encode()
        message = BytesParser(policy=email.policy.HTTP).parsebytes(head + body_of(environ))
        part = next(message.iter_parts())
        data = part.get_payload(decode=True)
        told = [part.get_filename(), len(data), hashlib.sha256(data).hexdigest()]
        return reply(json.dumps(told), "application/json")
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream()
    return reply("no such page", status="404 Not Found")


def body_of(environ):
    return environ["wsgi.input"].read()


def stream():
    for number in range(3):
        yield f"{number}\n".encode()
        time.sleep(0.15)
