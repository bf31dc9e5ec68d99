"""Overhead of `generate` over the server's latency: run `python benchmarks/generation.py`.

A server on loopback, in a separate process, takes 200 ms per request. `dfer_prompts.generate` sends it 11
classes x 10 samples, 16 at once, into an empty workspace. A plain loop over the SDK's async client sends
the same requests in the same run, in alternating rounds. Prints the ratio of the wall times, the ideal
(requests / concurrency x latency), and the time of a rerun with every response stored. Fails (exit 1) if
the median ratio is above 1.15, or a rerun takes 1 s.
"""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import openai

from dfer_prompts import Workspace, generate, load_class_set
from dfer_prompts.generation.plan import prompts
from dfer_prompts.templates import load_template

LATENCY_S = 0.2
CLASSES, SAMPLES, CONCURRENCY = "mafw", 10, 16
RUNS = 9
LIMIT, RERUN_LIMIT_S = 1.15, 1.0

FEATURES = "furrowed eyebrows, narrow eyes, tightened lips, flared nostrils, raised cheeks, a wide mouth"
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "tiny",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": "\n".join(f"- {each}" for each in FEATURES.split(", ")),
            },
        }
    ],
    "usage": {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60},
}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer all requests of one connection, each after the latency."""
    listing = json.dumps({"object": "list", "data": [{"id": "tiny", "object": "model"}]})
    while request := await reader.readline():
        length = 0
        while (line := await reader.readline()).strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        await reader.readexactly(length)
        await asyncio.sleep(LATENCY_S)
        body = (listing if request.startswith(b"GET") else json.dumps(ANSWER)).encode()
        fields = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(f"HTTP/1.1 200 OK\r\n{fields}".encode() + body)
        await writer.drain()
    writer.close()


def serve(ready: Connection) -> None:
    """The server's process: reports its port, then responds until it is stopped."""

    async def forever() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


async def bare_loop(base_url: str, questions: list[dict[str, Any]]) -> None:
    """What anybody would write: the SDK's client, a semaphore, and the answers forgotten."""
    limit = asyncio.Semaphore(CONCURRENCY)
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none") as client:

        async def one(question: dict[str, Any]) -> None:
            async with limit:
                await client.chat.completions.create(**question)

        await asyncio.gather(*map(one, questions))


def same_questions() -> list[dict[str, Any]]:
    """The 110 requests that `generate` sends."""
    rendered = prompts(load_class_set(CLASSES), load_template("paper", Workspace.find()))
    return [
        {
            "model": "tiny",
            "messages": messages,
            "temperature": 0.7,
            "top_p": 1.0,
            "max_tokens": 2048,
            "seed": 1 + sample,
        }
        for messages in rendered.values()
        for sample in range(SAMPLES)
    ]


def generated(base_url: str, folder: Path) -> int:
    """The number of requests that were sent for a new version in this workspace."""
    made = generate(
        CLASSES,
        model="tiny",
        base_url=base_url,
        samples=SAMPLES,
        concurrency=CONCURRENCY,
        workspace=Workspace(folder),
    )
    return made.asked


def measure(base_url: str) -> tuple[list[float], list[float], list[float]]:
    """Wall times in seconds of the plain loop, of `generate`, and of its reruns."""
    bare: list[float] = []
    whole: list[float] = []
    rerun: list[float] = []
    questions = same_questions()
    for _ in range(RUNS + 1):  # the first round warms up
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            asyncio.run(bare_loop(base_url, questions))
            bare.append(time.perf_counter() - start)
            for times, expected in ((whole, len(questions)), (rerun, 0)):
                start = time.perf_counter()
                asked = generated(base_url, Path(folder))
                times.append(time.perf_counter() - start)
                assert asked == expected
    return bare[1:], whole[1:], rerun[1:]


def main() -> int:
    """Measure and print."""
    os.environ["NO_PROXY"] = "127.0.0.1"
    receiver, sender = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(sender,), daemon=True)
    server.start()
    sender.close()  # so that a server that did not start is an error here, not a wait
    bare, whole, rerun = measure(f"http://127.0.0.1:{receiver.recv()}/v1")
    server.terminate()
    count = len(same_questions())
    ideal = count / CONCURRENCY * LATENCY_S
    rounds = math.ceil(count / CONCURRENCY) * LATENCY_S
    # A temporary slowdown of the machine affects both parts of a round.
    ratios = [one / other for one, other in zip(whole, bare, strict=True)]
    ratio = statistics.median(ratios)
    print(
        f"{count} requests, {CONCURRENCY} at once, {LATENCY_S} s each; medians of {RUNS} alternating rounds"
    )
    print(f"ideal (requests / concurrency x latency): 1; in whole rounds: {rounds / ideal:.3f}")
    middles = [statistics.median(times) / ideal for times in (bare, whole)]
    print(f"plain loop: {middles[0]:.3f} of the ideal; generate: {middles[1]:.3f}")
    print(f"generate / plain loop: {ratio:.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")
    print(f"at most {LIMIT}: {_verdict(ratio <= LIMIT)}")
    print(f"rerun with every response stored under {RERUN_LIMIT_S} s: {_verdict(max(rerun) < RERUN_LIMIT_S)}")
    return int(ratio > LIMIT or max(rerun) >= RERUN_LIMIT_S)


def _verdict(good: bool) -> str:
    return "yes" if good else "NO"


if __name__ == "__main__":
    sys.exit(main())
