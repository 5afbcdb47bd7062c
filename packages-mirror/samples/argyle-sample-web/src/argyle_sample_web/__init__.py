"""A WSGI router: functions by method and path, answers as JSON."""

import json

import argyle_sample_json
from argyle_sample_text import slug


class App:
    """Call it as a WSGI application; add routes with the decorator `route`."""

    def __init__(self):
        self.routes = {}

    def route(self, path, method="GET"):
        """Registers a function of (query string, JSON body or None) for a method and path."""

        def register(function):
            self.routes[method, path] = function
            return function

        return register

    def __call__(self, environ, start_response):
        key = environ["REQUEST_METHOD"], environ.get("PATH_INFO") or "/"
        function = self.routes.get(key)
        if function is None:
            return self._answer(start_response, "404 Not Found", {"error": slug(" ".join(key))})
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = json.loads(environ["wsgi.input"].read(length)) if length else None
        return self._answer(start_response, "200 OK", function(environ.get("QUERY_STRING"), body))

    @staticmethod
    def _answer(start_response, status, value):
        body = argyle_sample_json.dumps(value).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]
