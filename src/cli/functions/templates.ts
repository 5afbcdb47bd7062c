/** The templates of `ol new`: the smallest useful function of each kind. Pure. */

export interface Template {
  usage: string;
  files: Readonly<Record<string, string>>;
}

const OL_YAML = `# The settings of this function, with the worker's default limits.
limits:
  mem_mb: 50
  runtime_sec: 30
environment:
  EXAMPLE: "a variable that the code finds in os.environ"
`;
const IGNORED = '__pycache__/\n.venv/\n';

const withCommon = (files: Record<string, string>): Record<string, string> => ({
  ...files,
  'ol.yaml': OL_YAML,
  '.olignore': IGNORED,
});

export const TEMPLATES: Readonly<Record<string, Template>> = {
  f: {
    usage: 'f(event): JSON in, JSON out',
    files: withCommon({
      'f.py': `def f(event):
    name = event.get("name", "world") if isinstance(event, dict) else "world"
    return {"greeting": f"Hello, {name}!"}
`,
    }),
  },
  wsgi: {
    usage: 'a WSGI application without packages',
    files: withCommon({
      'f.py': `def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"Hello from {environ['PATH_INFO']}\\n".encode()]
`,
    }),
  },
  asgi: {
    usage: 'an ASGI application without packages',
    files: withCommon({
      'f.py': `async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError(f"only HTTP is served, not {scope['type']}")
    path = scope["path"].removeprefix(scope["root_path"])
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": f"Hello from {path}\\n".encode()})
`,
    }),
  },
  flask: {
    usage: 'a Flask application',
    files: withCommon({
      'f.py': `from flask import Flask, jsonify

app = Flask(__name__)


@app.route("/", methods=["GET", "POST"])
def index():
    return jsonify(greeting="Hello, world!")


@app.get("/hello/<name>")
def hello(name):
    return jsonify(greeting=f"Hello, {name}!")
`,
      'requirements.txt': 'flask\n',
    }),
  },
  fastapi: {
    usage: 'a FastAPI application',
    files: withCommon({
      'f.py': `from fastapi import FastAPI

app = FastAPI()


@app.get("/")
@app.post("/")
async def index():
    return {"greeting": "Hello, world!"}


@app.get("/hello/{name}")
async def hello(name: str):
    return {"greeting": f"Hello, {name}!"}
`,
      'requirements.txt': 'fastapi\n',
    }),
  },
};
