"""A payment service in a process of its own: it counts the charges of each order, and answers late, badly or never.

`charges.py PORT SEED TROUBLE`: TROUBLE is the share of requests that end otherwise than with their answer.
`GET /charges` has the count of every order, `GET /by-order/ORDER` tells what became of one.
"""

import asyncio
import json
import random
import sys
from collections import Counter

from aiohttp import web


async def main(port: int, seed: int, trouble: float) -> None:
    dice = random.Random(seed)
    charges: Counter[str] = Counter()

    async def pay(request: web.Request) -> web.StreamResponse:
        order = (await request.json())["order"]
        if dice.random() < trouble / 4:
            return web.json_response({"error": "not now"}, status=429)
        await asyncio.sleep(dice.random() * 0.05)
        charges[order] += 1
        fate = dice.random()
        if fate < trouble / 3:
            assert request.transport is not None
            request.transport.abort()  # charged, and the answer is lost
        elif fate < trouble * 2 / 3:
            return web.json_response({"error": "charged, and then"}, status=500)
        elif fate < trouble:
            await asyncio.sleep(dice.random() * 0.5)
        return web.json_response({"order": order, "charge": charges[order]}, status=201)

    async def counts(_: web.Request) -> web.Response:
        return web.json_response(text=json.dumps(charges))

    async def by_order(request: web.Request) -> web.Response:
        order = request.match_info["order"]
        if not charges[order]:
            return web.json_response({"order": order}, status=404)
        return web.json_response({"order": order, "charge": charges[order], "found": True})

    app = web.Application()
    app.router.add_get("/by-order/{order}", by_order)
    app.router.add_post("/pay", pay)
    app.router.add_get("/charges", counts)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
