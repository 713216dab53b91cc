#!/usr/bin/env python3
"""Compares the parsing of server-sent events: `farebox meter` against npm's eventsource-parser and PyPI's httpx-sse.

The input is every streamed fixture and as many generated chat streams as asked for, seeded: line ends mixed or not,
comments, fields in any order, JSON over several data lines, decoys in the text, a byte order mark, no last blank
line, cut anywhere. The parsers are fed in pieces cut at random bytes. Compared are the events (the two parsers) and
the usage read from them (all three). A difference must belong to a kind that docs/metering-differences.md names, and
of each kind named there at least one must occur (but for the one that is Farebox's own).

usage: sse_differential.py FAREBOX NODE_MODULES [--streams N] [--seed N]
"""

import argparse
import base64
import json
import random
import re
import subprocess
import sys
from collections import Counter

import fixtures
import httpx
import httpx_sse

TABLE = fixtures.HERE.parents[2] / "docs" / "metering-differences.md"
BOM = b"\xef\xbb\xbf"
MODEL = "gpt-4o-mini-2024-07-18"
TEXTS = ["Half past nine", " platform four.", "電車", " 🚋🚃 ", "data: [DONE]\n\n", '"usage":{"prompt_tokens":1}', "\u2028", "a\rb\nc", "", "Straße ",
         '\n\ndata: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n', "\\", "{[", "\x0b\x0c\x85"]


def chunk(rng: random.Random, **more) -> dict:
    choice = {"index": 0, "delta": {"content": rng.choice(TEXTS)}, "finish_reason": None}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": MODEL, "choices": [choice], **more}


def generated(rng: random.Random) -> bytes:
    """One chat stream as bytes."""
    end = rng.choice(["\n", "\r\n", "\r", None])
    out = ["\ufeff"] if rng.random() < 0.15 else []

    def put(line: str) -> None:
        """A line and its end; never an LF right after a CR, which would be one line end and not two."""
        out.append(line + (end or rng.choice(["\r\n", "\r"] if not line and out and out[-1].endswith("\r") else ["\n", "\r\n", "\r"])))

    usage = {"prompt_tokens": rng.randrange(1, 5000), "completion_tokens": rng.randrange(1, 900)}
    events = [chunk(rng, usage=None) for _ in range(rng.randrange(0, 6))]
    events += [chunk(rng, usage=usage) if rng.random() < 0.2 else {**chunk(rng), "choices": [], "usage": usage}]
    events += ["[DONE]"] if rng.random() < 0.8 else []
    for event in events:
        if rng.random() < 0.2:
            put(rng.choice([": keep-alive", ":", "retry: 10", "foo: bar", "foo", ": data: {}"]))
            put("") if rng.random() < 0.5 else None
        text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, None, 1]))
        lines = ["data:" + rng.choice([" ", " ", "", "  "]) + part for part in text.split("\n")]
        extra = [f"id: {rng.randrange(9)}"] if rng.random() < 0.2 else []
        extra += ["event: message"] if rng.random() < 0.2 else []
        lines = extra + lines if rng.random() < 0.5 else lines + extra
        for line in [*lines, ""] + [""] * (rng.randrange(1, 4) if rng.random() < 0.1 else 0):
            put(line)
    body = "".join(out).encode()
    if rng.random() < 0.15:
        return body.rstrip(b"\r\n") + rng.choice([b"", b"\n", b"\r\n", b"\r"])
    return body[:rng.randrange(len(body))] if rng.random() < 0.15 else body


def cuts(rng: random.Random, size: int) -> list:
    """Sizes of the pieces a body is fed in; together at least the body."""
    largest, sizes = rng.choice([1, 7, 64, 4096, size + 1]), []
    while sum(sizes) < size:
        sizes.append(rng.randrange(1, largest + 1))
    return sizes


def httpx_events(body: bytes, sizes: list) -> list:
    def pieces():
        at = 0
        for size in sizes:
            yield body[at:at + size]
            at += size
    response = httpx.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"}, content=pieces())
    return [["" if e.event == "message" else e.event, e.data] for e in httpx_sse.EventSource(response).iter_sse()]


def usage_of(events: list):
    """(input, output) of the last chat usage among the events' data."""
    found = None
    for _, data in events:
        try:
            usage = json.loads(data, strict=False).get("usage")
        except (ValueError, AttributeError):
            continue
        if isinstance(usage, dict) and "prompt_tokens" in usage:
            found = (str(usage["prompt_tokens"]), str(usage.get("completion_tokens")))
    return found


def farebox_usages(farebox: str, bodies: list) -> list:
    """(input, output) that `farebox meter` reads from each body."""
    lines = "".join(json.dumps({"id": str(i), "provider": "openai", "endpoint": "/v1/chat/completions", "stream": True, "transport": "sse",
                                "status": 200, "body": base64.b64encode(body).decode(), "body_encoding": "base64"}) + "\n"
                    for i, body in enumerate(bodies))
    answers = subprocess.run([farebox, "meter"], input=lines, capture_output=True, text=True, check=True).stdout.split("\n")
    read = lambda usage: (usage["input_total"], usage["output_total"]) if "input_total" in usage and "output_total" in usage else None
    return [read(json.loads(answer).get("usage", {})) for answer in answers if answer]


def kind(body: bytes, npm: list, pypi: list) -> str:
    """Which kind of difference lies between the two parsers' events, or '' for one that nobody has explained."""
    left, right = ([e for e in events if e[1] != ""] for events in (npm, pypi))
    if left == right:
        return "event without data"
    return "byte order mark" if body.startswith(BOM) and left[1:] in (right[1:], right) else ""


def usage_kind(body: bytes, ours, found, parser: str) -> str:
    """Which kind of difference lies between Farebox's usage and what a parser's events hold."""
    whole = body.removeprefix(BOM) + b"\n\n"  # as if the upstream had ended its last event
    events = httpx_events(whole, [len(whole)])
    if usage_of(events) == ours:
        if found is None and parser == "httpx-sse" and body.startswith(BOM) and usage_of(httpx_events(body + b"\n\n", [len(whole) + 3])) is None:
            return "byte order mark"
        return "unterminated last event" if found is None else ""
    last = re.search(r'"usage":\s*(\{[^{}]*\})', events[-1][1]) if events else None
    return "document cut after its usage" if last and found is None and usage_of([["", f'{{"usage":{last[1]}}}']]) == ours else ""


def main() -> int:
    args = argparse.ArgumentParser()
    args.add_argument("farebox")
    args.add_argument("node_modules")
    args.add_argument("--streams", type=int, default=3000)
    args.add_argument("--seed", type=int, default=20261124)
    args = args.parse_args()
    rng = random.Random(args.seed)
    fixed = [(case["input"]["id"], fixtures.body_bytes(case)) for _, case in fixtures.load() if case["input"]["transport"] == "sse"]
    streams = fixed + [(f"generated {i}", generated(rng)) for i in range(args.streams)]
    sizes = [cuts(rng, len(body)) for _, body in streams]

    lines = "".join(json.dumps({"body": base64.b64encode(body).decode(), "cuts": size}) + "\n" for (_, body), size in zip(streams, sizes))
    node = subprocess.run(["node", str(fixtures.HERE / "sse_parsers.mjs"), args.node_modules], input=lines, capture_output=True, text=True, check=True)
    theirs = [json.loads(line) for line in node.stdout.split("\n") if line]
    assert len(theirs) == len(streams)
    usages = farebox_usages(args.farebox, [body for _, body in streams[len(fixed):]])

    named = set(re.findall(r"^\| \*([a-z -]+)\* \|", TABLE.read_text(encoding="utf-8"), re.M))
    seen, wrong = Counter(), []
    for at, ((name, body), size) in enumerate(zip(streams, sizes)):
        npm, pypi = theirs[at], httpx_events(body, size)
        if npm != pypi:
            why = kind(body, npm, pypi)
            seen[f"the two parsers: {why}"] += 1
            if why not in named:
                wrong.append(f"{name}: eventsource-parser and httpx-sse differ: {npm[-2:]} {pypi[-2:]} {body[-60:]!r}")
        if at < len(fixed):
            continue
        ours = usages[at - len(fixed)]
        for parser, events in (("eventsource-parser", npm), ("httpx-sse", pypi)):
            if usage_of(events) != ours:
                why = usage_kind(body, ours, usage_of(events), parser)
                seen[f"farebox and {parser}: {why}"] += 1
                if why not in named:
                    wrong.append(f"{name}: usage differs: farebox {ours}, {parser} {usage_of(events)}: {body[-160:]!r}")
    for unused in named - {key.split(": ")[1] for key in seen} - {"document cut after its usage"}:
        wrong.append(f"no stream shows the difference that the table names: {unused}")
    for line in wrong[:20]:
        print(line)
    print(f"{len(fixed)} fixtures and {args.streams} generated streams (seed {args.seed}): {len(wrong)} differences not explained")
    for key, count in sorted(seen.items()):
        print(f"  {count} × {key}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
