/** Test support: functions that answer, hang or die at each stage of a response. */

/** Answers with its event. */
export const ECHO = 'def f(event):\n    return event\n';

/** Echoes its request: request line, headers as a list of pairs, body. */
export const MIRROR = `
import json
def raw(h):
    body = h.read_body()
    h.reply(200, "application/json", json.dumps([h.command, h.path, list(h.headers.items()), body.decode()]).encode())
`;

/** The last segment of the path selects the kind of answer. */
export const PROXY = `
import gzip, os, time
def raw(h):
    how = h.path.split("?")[0].split("/")[-1]
    if how == "dups":
        h.send_response(201, "Made Up")
        for pair in [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Hop", "1"), ("Connection", "X-Hop"),
                     ("Keep-Alive", "5"), ("X-Argyle-Boot", "{}"), ("Content-Length", "0")]:
            h.send_header(*pair)
        h.end_headers()
    elif how == "gzip":
        body = gzip.compress(b"squeezed" * 1000)
        h.send_response(200)
        h.send_header("Content-Encoding", "gzip")
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        h.wfile.write(body)
    elif how == "redirect":
        h.send_response(302)
        h.send_header("Location", "/status")
        h.send_header("Content-Length", "0")
        h.end_headers()
    elif how == "to":
        # /to?<status>?<location>: the location may hold anything but a question mark and a blank
        h.read_body()
        _, status, location = h.path.split("?", 2)
        h.send_response(int(status))
        h.send_header("Location", location.replace("%20", " "))
        h.send_header("Content-Length", "0")
        h.end_headers()
    elif how == "events":
        h.send_response(200)
        h.send_header("Content-Type", "text/event-stream")
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        for i in range(3):
            h.wfile.write(b"9\\r\\ndata: %d\\n\\n\\r\\n" % i)
            h.wfile.flush()
            time.sleep(0.15)
        h.wfile.write(b"0\\r\\n\\r\\n")
    elif how == "headers-then-hang":
        h.send_response(200)
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        h.wfile.write(b"5\\r\\nfirst\\r\\n")
        time.sleep(60)
    elif how == "length-then-hang":
        h.send_response(200)
        h.send_header("Content-Length", "1000")
        h.end_headers()
        h.wfile.write(b"first")
        time.sleep(60)
    elif how == "headers-then-die":
        h.send_response(200)
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        h.wfile.write(b"5\\r\\nfirst\\r\\n")
        os._exit(3)
    elif how == "die":
        os._exit(3)
    elif how == "hang":
        time.sleep(60)
    elif how == "big":
        h.send_response(200)
        h.send_header("Content-Length", str(100 << 20))
        h.end_headers()
        for _ in range(100):
            h.wfile.write(b"x" * (1 << 20))
    else:
        h.reply(200, "text/plain", b"ok")
`;

/** Answers with the size and SHA-256 of its request's body. */
export const HASH = `
import hashlib
def raw(h):
    digest, size = hashlib.sha256(), 0
    if "chunked" in h.headers.get("Transfer-Encoding", ""):
        for chunk in h.chunks():
            digest.update(chunk)
            size += len(chunk)
    else:
        left = int(h.headers["Content-Length"])
        while left:
            chunk = h.rfile.read(min(left, 1 << 16))
            digest.update(chunk)
            size += len(chunk)
            left -= len(chunk)
    h.reply(200, "text/plain", f"{size} {digest.hexdigest()}".encode())
`;
