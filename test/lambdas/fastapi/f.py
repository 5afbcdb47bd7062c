"""A FastAPI application: validated JSON, server-sent events."""

import fastapi
import fastapi.responses
import pydantic

app = fastapi.FastAPI()


class Order(pydantic.BaseModel):
    item: str
    count: int = 1


@app.get("/")
async def index():
    return {"fastapi": True}


@app.post("/orders")
async def order(wanted: Order):
    return {"accepted": f"{wanted.count} x {wanted.item}"}


@app.get("/events")
async def events(to: int = 3):
    async def stream():
        for number in range(1, to + 1):
            yield f"data: {number}\n\n"

    return fastapi.responses.StreamingResponse(stream(), media_type="text/event-stream")
