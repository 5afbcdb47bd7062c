"""Makes a thumbnail of an image given as base64; without one it draws a gradient first.

The answer's work_ms is the time of this function, so that a caller can compute the platform's share
of a request.
"""

import base64
import io
import time

from PIL import Image


def f(event):
    started = time.perf_counter()
    if "image" in event:
        image = Image.open(io.BytesIO(base64.b64decode(event["image"])))
    else:
        image = Image.linear_gradient("L").resize((640, 480))
    edge = int(event.get("edge", 64))
    image.thumbnail((edge, edge))
    out = io.BytesIO()
    image.save(out, format="PNG")
    width, height = image.size
    png = base64.b64encode(out.getvalue()).decode()
    work_ms = (time.perf_counter() - started) * 1000
    return {"width": width, "height": height, "png": png, "work_ms": work_ms}
