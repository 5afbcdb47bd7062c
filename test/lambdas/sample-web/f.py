"""The offline twin of the Flask example: a WSGI application of a package."""

from argyle_sample_web import App

app = App()


@app.route("/")
def index(query, body):
    """Greets."""
    return {"message": "hello from a sample", "query": query}


@app.route("/sum", "POST")
def add(query, body):
    """Adds up a JSON list of numbers."""
    return {"sum": sum(body)}
