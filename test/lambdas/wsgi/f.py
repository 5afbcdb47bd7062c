"""Plain WSGI without any package: returns the environment that the server passes."""

import json

KEYS = ["REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE"]


def wsgi(environ, start_response):
    """The interesting keys and the body, in pieces and without a length."""
    body = environ["wsgi.input"].read()
    start_response(
        "200 OK", [("Content-Type", "application/json"), ("X-Part", "a"), ("X-Part", "b")]
    )
    answer = {**{key: environ.get(key, "") for key in KEYS}, "body": body.decode()}
    text = json.dumps(answer).encode()
    return [text[:10], text[10:]]
