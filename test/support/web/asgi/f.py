"""A small application in plain ASGI that behaves as frameworks do (test/support/web-app.ts)."""

import asyncio
import email.policy
import hashlib
import json
from email.parser import BytesParser
from urllib.parse import parse_qs

STYLE = b"body { color: navy }\n"


async def app(scope, receive, send):
    """Routes by the path after root_path. Unknown paths get a 404."""
    if scope["type"] != "http":
        return
    mount = scope["root_path"]
    path = scope["path"].removeprefix(mount)
    method = scope["method"]
    query = parse_qs(scope["query_string"].decode())
    headers = {key.decode(): value.decode() for key, value in scope["headers"]}
    base = f"{scope['scheme']}://{headers['host']}{mount}"

    async def start(status, pairs):
        encoded = [(key.encode(), value.encode()) for key, value in pairs]
        await send({"type": "http.response.start", "status": status, "headers": encoded})

    async def reply(body, kind="text/plain", status=200, pairs=()):
        data = body.encode() if isinstance(body, str) else body
        length = [("Content-Type", kind), ("Content-Length", str(len(data)))]
        await start(status, length + list(pairs))
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else data})

    async def redirect(where, status=302, pairs=()):
        await reply("moved", status=status, pairs=[("Location", where), *pairs])

    if method == "OPTIONS":
        await reply(b"", pairs=[("Allow", "GET, HEAD, OPTIONS, POST")])
    elif path == "/":
        await reply("index")
    elif path == "/about":
        await reply("about")
    elif path.startswith("/deep/"):
        told = {"path": path, "script": mount, "x": query.get("x", [""])[0]}
        await reply(json.dumps(told), "application/json")
    elif path == "/list":
        await redirect(f"{base}/list/", 307)
    elif path == "/list/":
        await reply(f"list {method} {(await read(receive)).decode()}")
    elif path == "/go":
        await redirect(f"{mount}/about")
    elif path == "/go-absolute":
        await redirect(f"{base}/about")
    elif path == "/done" and method == "POST":
        await redirect(f"{mount}/about", 303)
    elif path == "/away":
        await redirect("http://example.com/")
    elif path == "/login":
        user = parse_qs((await read(receive)).decode())["user"][0]
        await redirect(f"{mount}/me", pairs=[("Set-Cookie", f"user={user}; Path={mount}")])
    elif path == "/me":
        await reply(f"hello {headers.get('cookie', 'nobody').removeprefix('user=')}")
    elif path == "/url":
        told = {"relative": f"{mount}/about", "absolute": f"{base}/about"}
        await reply(json.dumps(told), "application/json")
    elif path == "/static/style.css":
        await reply(STYLE, "text/css")
    elif path == "/form":
        fields = parse_qs((await read(receive)).decode())
        told = {key: values[0] for key, values in fields.items()}
        await reply(json.dumps(told), "application/json")
    elif path == "/upload":
        head = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
        message = BytesParser(policy=email.policy.HTTP).parsebytes(head + await read(receive))
        part = next(message.iter_parts())
        data = part.get_payload(decode=True)
        told = [part.get_filename(), len(data), hashlib.sha256(data).hexdigest()]
        await reply(json.dumps(told), "application/json")
    elif path == "/stream":
        await start(200, [("Content-Type", "text/plain")])
        for number in range(3):
            data = f"{number}\n".encode()
            await send({"type": "http.response.body", "body": data, "more_body": True})
            await asyncio.sleep(0.15)
        await send({"type": "http.response.body", "body": b""})
    else:
        await reply("no such page", status=404)


async def read(receive):
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
