"""Makes a thumbnail of an image given as base64; without one it draws a gradient first."""

import base64
import io

from PIL import Image


def f(event):
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
    return {"width": width, "height": height, "png": png}
