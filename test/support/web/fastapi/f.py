"""The application of test/support/web-app.ts with FastAPI."""

import asyncio
import hashlib
from typing import Annotated

import fastapi
from fastapi import responses, staticfiles

app = fastapi.FastAPI()
app.mount("/static", staticfiles.StaticFiles(directory="static"), name="static")


@app.api_route("/", methods=["GET", "HEAD", "POST"])
async def index():
    return responses.PlainTextResponse("index")


@app.options("/")
async def options():
    return responses.PlainTextResponse("", headers={"Allow": "GET, HEAD, OPTIONS, POST"})


@app.get("/about")
async def about():
    return responses.PlainTextResponse("about")


@app.get("/deep/{rest:path}")
async def deep(rest: str, request: fastapi.Request, x: str = ""):
    return {"path": f"/deep/{rest}", "script": request.scope["root_path"], "x": x}


@app.api_route("/list/", methods=["GET", "POST"])
async def listing(request: fastapi.Request):
    text = (await request.body()).decode()
    return responses.PlainTextResponse(f"list {request.method} {text}")


@app.get("/go")
async def go(request: fastapi.Request):
    return responses.RedirectResponse(request.url_for("about").path, 302)


@app.get("/go-absolute")
async def go_absolute(request: fastapi.Request):
    return responses.RedirectResponse(request.url_for("about"), 302)


@app.post("/done")
async def done(request: fastapi.Request):
    return responses.RedirectResponse(request.url_for("about"), 303)


@app.get("/away")
async def away():
    return responses.RedirectResponse("http://example.com/", 302)


@app.post("/login")
async def login(request: fastapi.Request, user: Annotated[str, fastapi.Form()]):
    response = responses.RedirectResponse(request.url_for("me"), 302)
    response.set_cookie("user", user, path=request.scope["root_path"])
    return response


@app.get("/me")
async def me(user: Annotated[str, fastapi.Cookie()] = "nobody"):
    return responses.PlainTextResponse(f"hello {user}")


@app.get("/url")
async def url(request: fastapi.Request):
    where = request.url_for("about")
    return {"relative": where.path, "absolute": str(where)}


@app.post("/form")
async def form(request: fastapi.Request):
    return dict(await request.form())


@app.post("/upload")
async def upload(file: fastapi.UploadFile):
    data = await file.read()
    return [file.filename, len(data), hashlib.sha256(data).hexdigest()]


@app.get("/stream")
async def stream():
    async def lines():
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0.15)

    return responses.StreamingResponse(lines(), media_type="text/plain")
