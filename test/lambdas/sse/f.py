"""Server-sent events from plain ASGI: `?count=N&ms=M` sends N events, M milliseconds apart."""

import asyncio
import json
import time
from urllib.parse import parse_qs

HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]


async def app(scope, receive, send):
    """Sends events with their number and time."""
    if scope["type"] != "http":
        raise RuntimeError("cannot serve " + scope["type"])
    query = parse_qs(scope["query_string"].decode())
    count = int(query.get("count", ["3"])[0])
    pause = float(query.get("ms", ["100"])[0]) / 1000
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    for number in range(count):
        if number:
            await asyncio.sleep(pause)
        data = json.dumps({"number": number, "time": time.time()})
        event = f"id: {number}\ndata: {data}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
