"""Which half of `cs` serves better underneath our client: requests with threads, or aiohttp? Ratios of one run.

    python -m benchmarks.http_half [--calls N] [--server simulator|plain] [--delay MILLISECONDS]

The server runs in a process of its own: `simulator` is the simulated cloud with its sample estate, `plain` answers the
same empty list after `--delay`, so that the client's own cost shows. CPU is the client process's only. The last column
is calls per second over those of requests, one at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import aiohttp
import aiohttp.web
import cs

from reconciler.cloudstack import answers
from reconciler.cloudstack.client import Endpoint
from reconciler.cloudstack.transport import Transport, session_for

KEY, SECRET = "demo-api-key", "demo-secret-key"
COMMAND, ARGUMENTS = "listVolumes", {"listall": "true", "pagesize": "-1"}
THREADS, TASKS = 20, 50


def _plain(pipe: Any, delay: float) -> None:
    async def answer(request: aiohttp.web.Request) -> aiohttp.web.Response:
        await request.read()
        await asyncio.sleep(delay)
        return aiohttp.web.Response(body=b'{"listvolumesresponse":{}}', content_type="application/json")

    async def main() -> None:
        app = aiohttp.web.Application()
        app.router.add_post("/client/api", answer)
        runner = aiohttp.web.AppRunner(app, access_log=None)
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        pipe.send(f"http://{host}:{port}/client/api")
        await asyncio.Event().wait()

    asyncio.run(main())


def _simulated(pipe: Any, _delay: float) -> None:
    from simulator import TurnedClock, load_estate, serve

    with serve(load_estate("examples/estate.yaml", TurnedClock(datetime.now(UTC)))) as server:
        pipe.send(server.url)
        time.sleep(3600)


@contextlib.contextmanager
def running(kind: str, delay: float) -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    target = _simulated if kind == "simulator" else _plain
    process = multiprocessing.Process(target=target, args=(theirs, delay), daemon=True)
    process.start()
    try:
        if not ours.poll(30):
            sys.exit("the server did not start")
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


Calls = Callable[[int], None]


def bare(url: str) -> Calls:
    """The HTTP library alone: the same body, unsigned, over the same kind of session."""
    session = session_for(Endpoint(url=url, key=KEY, secret=SECRET))

    def run(count: int) -> None:
        for _ in range(count):
            session.post(url, data={"command": COMMAND, **ARGUMENTS}, timeout=30).json()

    return run


def _ours(url: str, connections: int) -> Callable[[int], None]:
    endpoint = Endpoint(url=url, key=KEY, secret=SECRET, connections=connections)
    transport = Transport(endpoint, lambda: datetime.now(UTC))

    def call(_: int) -> None:
        assert not isinstance(answers.opened(transport.send(COMMAND, ARGUMENTS), url), answers.No)

    return call


def sequential(url: str) -> Calls:
    call = _ours(url, 1)
    return lambda count: [call(n) for n in range(count)] and None


def threads(url: str) -> Calls:
    call = _ours(url, THREADS)

    def run(count: int) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(call, range(count)))

    return run


def asynchronous(tasks: int) -> Callable[[str], Calls]:
    """The aiohttp half as it comes, on one shared session."""

    async def main(url: str, count: int) -> None:
        limit = asyncio.Semaphore(tasks)
        async with cs.AIOCloudStack(endpoint=url, key=KEY, secret=SECRET, method="post") as client:

            async def one() -> None:
                async with limit:
                    await getattr(client, COMMAND)(**ARGUMENTS)

            await asyncio.gather(*(one() for _ in range(count)))

    return lambda url: lambda count: asyncio.run(main(url, count))


ROWS: dict[str, Callable[[str], Calls]] = {
    "requests half, one at a time": sequential,
    f"requests half, {THREADS} threads": threads,
    "aiohttp half, one at a time": asynchronous(1),
    f"aiohttp half, {TASKS} at a time": asynchronous(TASKS),
    "bare requests, one at a time": bare,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--server", choices=("simulator", "plain"), default="simulator")
    parser.add_argument("--delay", type=float, default=0.0, metavar="MILLISECONDS")
    asked = parser.parse_args()
    print(f"{asked.calls} calls of {COMMAND}, server: {asked.server}, delay {asked.delay:g} ms")
    print(f"{'':32}{'calls/s':>10}{'CPU ms/call':>13}{'ratio':>8}")
    first = cpu_signed = cpu_bare = 0.0
    with running(asked.server, asked.delay / 1000) as url:
        for name, make in ROWS.items():
            if make is bare and asked.server == "simulator":
                continue  # unsigned calls are refused there: another kind of answer
            run = make(url)
            run(min(50, asked.calls))
            wall, cpu = time.perf_counter(), time.process_time()
            run(asked.calls)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            rate, first = asked.calls / wall, first or asked.calls / wall
            cpu_signed, cpu_bare = cpu_signed or cpu, cpu if make is bare else cpu_bare
            print(f"{name:32}{rate:>10.0f}{cpu / asked.calls * 1000:>13.2f}{rate / first:>8.2f}")
    if cpu_bare:
        ratio = cpu_bare / cpu_signed
        print(f"signed calls per CPU second over those of bare requests: {ratio:.2f} (wanted: at least 0.6)")


if __name__ == "__main__":
    main()
