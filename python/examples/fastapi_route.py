"""A route of one's own service: `TONGKUAN_HOME=shop uvicorn fastapi_route:app`"""

from typing import Any

import tongkuan
from fastapi import FastAPI, HTTPException, Request

app = FastAPI()
engine = tongkuan.AsyncEngine()


@app.post("/seen")
async def seen(request: Request) -> dict[str, Any]:
    """The picture is the body."""
    try:
        checked = await engine.check(await request.body())
    except tongkuan.PictureError as error:
        raise HTTPException(422, {"code": error.code, "detail": str(error)}) from error
    return {"outcome": checked.outcome, "seen_as": checked.matched_label, "confidence": checked.confidence}
