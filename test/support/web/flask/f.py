"""The application of test/support/web-app.ts with Flask."""

import hashlib
import time

import flask

app = flask.Flask(__name__)


@app.route("/", methods=["GET", "POST"])
def index():
    return "index"


@app.get("/about")
def about():
    return "about"


@app.get("/deep/<path:rest>")
def deep(rest):
    return {
        "path": f"/deep/{rest}",
        "script": flask.request.script_root,
        "x": flask.request.args.get("x", ""),
    }


@app.route("/list/", methods=["GET", "POST"])
def listing():
    return f"list {flask.request.method} {flask.request.get_data(as_text=True)}"


@app.get("/go")
def go():
    return flask.redirect(flask.url_for("about"))


@app.get("/go-absolute")
def go_absolute():
    return flask.redirect(flask.url_for("about", _external=True))


@app.post("/done")
def done():
    return flask.redirect(flask.url_for("about"), 303)


@app.get("/away")
def away():
    return flask.redirect("http://example.com/")


@app.post("/login")
def login():
    response = flask.redirect(flask.url_for("me"))
    response.set_cookie("user", flask.request.form["user"], path=flask.request.script_root)
    return response


@app.get("/me")
def me():
    return f"hello {flask.request.cookies.get('user', 'nobody')}"


@app.get("/url")
def url():
    return {
        "relative": flask.url_for("about"),
        "absolute": flask.url_for("about", _external=True),
    }


@app.post("/form")
def form():
    return dict(flask.request.form)


@app.post("/upload")
def upload():
    file = flask.request.files["file"]
    data = file.read()
    return flask.jsonify([file.filename, len(data), hashlib.sha256(data).hexdigest()])


@app.get("/stream")
def stream():
    def lines():
        for number in range(3):
            yield f"{number}\n"
            time.sleep(0.15)

    return flask.Response(lines(), mimetype="text/plain")
