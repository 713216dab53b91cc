"""Reads the golden matrix and checks that every line says what README.md allows it to say.

Run alone, it prints what is wrong and how many cases there are.
"""

import base64
import json
import pathlib
import re
import sys
from decimal import Decimal

import make_event_streams

HERE = pathlib.Path(__file__).parent
LINE = {"input", "expected", "why", "same_as", "unsettled", "suspect", "observed"}
INPUT = {"id", "provider", "endpoint", "stream", "transport", "status", "response_headers", "request", "body", "body_encoding"}
EXPECTED = {"usage", "provenance", "usage_present", "final", "model", "service_tier", "provider_cost_usd", "sub_usage", "outcome"}
TRANSPORTS = {"json", "sse", "ndjson", "json-array", "aws-eventstream", "ws-text-frames", "binary"}
OUTCOMES = {"complete", "incomplete", "cancelled", "error", "truncated", "no_usage"}
TIERS = {"default", "batch", "flex", "priority"}
METERS = set("""
    input_total input_uncached cache_read cache_write cache_write_5m cache_write_1h output_total reasoning
    text_in audio_in image_in video_in document_in text_out audio_out image_out
    cache_read_text cache_read_audio cache_read_image accepted_prediction rejected_prediction tool_prompt
    web_search_requests web_fetch_requests x_search_requests search_units search_queries citation
    cost_in_usd_ticks images characters seconds predict_seconds pages turns counted_tokens requests
""".split())
DECIMAL = re.compile(r"(0|[1-9]\d*)(\.\d*[1-9])?")


def load():
    """(file's stem, line) of every case, in order."""
    return [(path.stem, json.loads(line))
            for path in sorted(HERE.glob("*.jsonl")) for line in path.read_text(encoding="utf-8").split("\n") if line]


def body_bytes(case: dict) -> bytes:
    body = case["input"]["body"]
    return base64.b64decode(body, validate=True) if case["input"].get("body_encoding") else body.encode()


def sums(usage: dict, loose: bool):
    """What does not add up in one usage; `loose` for cases about counts that do not."""
    n = {meter: Decimal(value) for meter, value in usage.items()}
    get = lambda *meters: sum((n.get(m, Decimal(0)) for m in meters), Decimal(0))
    if "input_total" in n and n["input_total"] != get("input_uncached", "cache_read", "cache_write"):
        yield "input_total is not the sum of its classes"
    if ("input_total" in n) != ("input_uncached" in n):
        yield "input_total and input_uncached derive from each other"
    if loose:
        return
    for whole, parts in (
        ("cache_write", ["cache_write_5m", "cache_write_1h"]), ("output_total", ["reasoning"]), ("input_total", ["tool_prompt"]),
        ("input_total", ["text_in", "audio_in", "image_in", "video_in", "document_in"]),
        ("output_total", ["text_out", "audio_out", "image_out"]), ("cache_read", ["cache_read_text", "cache_read_audio", "cache_read_image"]),
    ):
        if get(*parts) > n.get(whole, Decimal(0)):
            yield f"{'+'.join(parts)} exceeds {whole}"


def faults(stem: str, case: dict, by_id: dict):
    given, want = case["input"], case["expected"]
    for name, found, allowed in (("line", case, LINE), ("input", given, INPUT), ("expected", want, EXPECTED)):
        if set(found) - allowed:
            yield f"{name} has unknown keys {sorted(set(found) - allowed)}"
    if not given["id"].startswith(stem + "/"):
        yield "the id does not begin with the file's name"
    if given["transport"] not in TRANSPORTS or want["outcome"] not in OUTCOMES or not case["why"].endswith("."):
        yield "unknown transport or outcome, or `why` is no sentence"
    if want.get("service_tier", "default") not in TIERS:
        yield f"service_tier {want['service_tier']}"
    if set(want["usage"]) != set(want["provenance"]) or set(want["usage"]) - METERS or want["usage"].get("requests") != "1":
        yield "usage and provenance differ in meters, or an unknown one, or not one request"
    if set(want["provenance"].values()) - {"reported", "counted"}:
        yield "provenance"
    for entry in want.get("sub_usage", []):
        if set(entry) - {"model", "usage"} or set(entry["usage"]) - METERS or "requests" in entry["usage"]:
            yield "sub_usage has unknown keys or meters"
    loose = bool(case.get("suspect") or case.get("unsettled"))
    for usage in [want["usage"], *(entry["usage"] for entry in want.get("sub_usage", []))]:
        if not all(DECIMAL.fullmatch(value) for value in usage.values()):
            yield "a quantity is not a plain decimal"
        yield from sums(usage, loose)
    billable = {m for m, p in want["provenance"].items() if p == "reported"} - {"counted_tokens"}
    if want["usage_present"] != bool(billable or want.get("sub_usage")):
        yield "usage_present says otherwise than the meters"
    if want["final"] and want["outcome"] in ("truncated", "no_usage"):
        yield "final, but the end was not seen or nothing was read"
    same = by_id.get(case.get("same_as"))
    if "same_as" in case and (same is None or same["expected"] != want):
        yield f"is not the same as {case['same_as']}"
    if given["transport"] == "aws-eventstream" and want["outcome"] not in ("truncated", "error"):
        list(make_event_streams.frames(body_bytes(case)))


def check(cases) -> list:
    by_id = {}
    found = []
    for _, case in cases:
        if by_id.setdefault(case["input"]["id"], case) is not case:
            found.append(f"{case['input']['id']}: twice")
    for stem, case in cases:
        found += [f"{case['input']['id']}: {fault}" for fault in faults(stem, case, by_id)]
    return found


if __name__ == "__main__":
    cases = load()
    wrong = check(cases)
    print("\n".join(wrong + [f"{len(cases)} cases, {len(wrong)} faults"]))
    sys.exit(bool(wrong))
