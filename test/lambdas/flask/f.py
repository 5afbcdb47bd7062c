"""A Flask application: routes, query parameters, a streamed answer."""

import flask

app = flask.Flask(__name__)


@app.get("/")
def index():
    return {"flask": True, "agent": flask.request.headers.get("User-Agent")}


@app.get("/greet/<name>")
def greet(name):
    return f"Hello, {name}, from {flask.request.script_root}!"


@app.get("/count")
def count():
    last = flask.request.args.get("to", 3, type=int)
    lines = (f"{number}\n" for number in range(1, last + 1))
    return flask.Response(lines, mimetype="text/plain")
