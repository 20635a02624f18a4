"""Serve with plain FastAPI: `python plain_fastapi.py PORT WORKERS`.

One worker runs the graph in FastAPI's own threads, so that it uses all cores. Several run it in the event loop, which
saves switching threads.
"""

import os
import sys

import uvicorn
from encoder import classify, open_session
from fastapi import FastAPI, Response, UploadFile

app = FastAPI()
session = open_session()

if int(os.environ.setdefault("CONTENDER_WORKERS", sys.argv[-1])) == 1:

    @app.post("/classify")
    def classify_in_thread(file: UploadFile) -> Response:
        """Answer in one of FastAPI's threads."""
        return Response(classify(session, file.file.read()), media_type="application/json")

else:

    @app.post("/classify")
    async def classify_in_loop(file: UploadFile) -> Response:
        """Answer in the event loop."""
        return Response(classify(session, await file.read()), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(
        "plain_fastapi:app",
        port=int(sys.argv[1]),
        workers=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
