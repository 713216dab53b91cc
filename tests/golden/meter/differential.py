#!/usr/bin/env python3
"""Reads the golden matrix with an independent extractor, PyPI's genai-prices, and compares it with `expected`.

Every difference must be explained by a row of docs/metering-differences.md, and every row must explain as many
differences as it says. The extractor reads one JSON object; which object that is in a stream, and how the parts of
a stream combine, is decided here as its documentation says: the last one with usage, Anthropic's start overlaid
by its delta, turns summed.

`python3 differential.py` fails on what the table does not explain; `--list` prints each difference.
"""

import base64
import fnmatch
import json
import pathlib
import re
import sys
from collections import Counter
from decimal import Decimal

import fixtures
import make_event_streams
from genai_prices import data_snapshot

TABLE = fixtures.HERE.parents[2] / "docs" / "metering-differences.md"
#: their unit → our meter; units without an entry (tool modalities, cached video) have no meter.
UNITS = {
    "input_tokens": "input_total", "cache_read_tokens": "cache_read", "cache_write_tokens": "cache_write",
    "cache_write_5m_tokens": "cache_write_5m", "cache_write_1h_tokens": "cache_write_1h",
    "output_tokens": "output_total", "output_reasoning_tokens": "reasoning", "output_citation_tokens": "citation",
    "input_text_tokens": "text_in", "input_audio_tokens": "audio_in", "input_image_tokens": "image_in",
    "input_video_tokens": "video_in", "input_tool_tokens": "tool_prompt", "output_text_tokens": "text_out",
    "output_audio_tokens": "audio_out", "output_image_tokens": "image_out", "cache_text_read_tokens": "cache_read_text",
    "cache_audio_read_tokens": "cache_read_audio", "cache_image_read_tokens": "cache_read_image",
    "web_searches": "web_search_requests", "audio_seconds": "seconds", "input_document_pages": "pages",
}
PROVIDERS = {"vertex": "google", "bedrock": "aws", "aws": "aws", "xai": "x-ai", None: None}
#: shapes for which they list no extractor: native bodies of Bedrock models, Gemini's Live and Interactions, result
#: files of batches, Cohere's first version and compatible endpoint.
NOT_THEIRS = ("/model/amazon.titan", "/model/meta.", "/model/mistral.", "/model/openai.", "/model/cohere.", "/model/amazon.nova-canvas",
              "BidiGenerateContent", "/interactions", "/files/", "/batches", ".jsonl", "/compatibility/", "/operations/")
#: what a provider that has only a `default` means by it.
DEFAULTS = {("chat", p) for p in ("mistral", "groq", "perplexity", "xai")} | {("embeddings", "mistral"), ("responses", "openrouter")}


def flavour(case: dict):
    """(their provider, flavour) for a case, or None where they have no extractor for its shape."""
    provider, path = case["input"].get("provider"), case["input"].get("endpoint") or ""
    provider = PROVIDERS.get(provider, provider)
    known = {p.id: {e.api_flavor for e in p.extractors} for p in data_snapshot.get_snapshot().providers if p.extractors}
    if case["input"]["transport"] == "ndjson" or provider not in known or any(part in path for part in NOT_THEIRS):
        return None
    messages = "/messages" in path or "claude" in path
    kind = next((kind for kind, here in (
        ("default", "/converse" in path or "nova-lite" in path),
        ("default" if provider == "anthropic" else "anthropic", messages),
        ("default", provider == "aws" and not messages),
        ("live", path == "/v1/live"), ("realtime", "/realtime" in path), ("images", "/images/" in path),
        ("embeddings", "embed" in path), ("responses", "/responses" in path), ("ocr", path.endswith("/ocr")),
        ("chat", "completions" in path or "mistralai" in path),
    ) if here), "default")
    # A provider with one shape, or its commonest, calls it `default`.
    if kind not in known[provider] and (kind, provider) in DEFAULTS:
        kind = "default"
    return (provider, kind) if kind in known[provider] else None


def documents(case: dict):
    """The JSON values of a body, in order; raises ValueError where it is not what its transport says."""
    parse = lambda text: json.loads(text, parse_float=Decimal)
    body, transport = fixtures.body_bytes(case), case["input"]["transport"]
    if transport == "aws-eventstream":
        for _, payload in make_event_streams.frames(body):
            value = parse(payload) if payload else {}
            yield parse(base64.b64decode(value["bytes"])) if "bytes" in value else value
        return
    text = body.decode("utf-8", "replace").lstrip("\ufeff")
    if transport == "sse":
        for block in re.split(r"(?:\r\n|\n|\r){2,}", text):
            lines = [line.split(":", 1)[1].removeprefix(" ") for line in re.split(r"\r\n|\n|\r", block) if line.startswith("data:")]
            if lines and "\n".join(lines).strip() != "[DONE]":
                try:
                    yield parse("\n".join(lines))
                except ValueError:
                    pass
    elif transport in ("ndjson", "ws-text-frames"):
        yield from (parse(line) for line in text.splitlines() if line.strip())
    elif transport == "json-array":
        decoder, at = json.JSONDecoder(parse_float=Decimal), text.find("[") + 1
        while item := re.compile(r"[\s,]*(?=\{)").match(text, at):
            try:
                value, at = decoder.raw_decode(text, item.end())
            except ValueError:  # a half item at the end of a stream that was cut
                return
            yield value
    else:
        yield parse(text)


def unwrap(event: dict):
    """Where in a stream's event the answer's object lies."""
    if not isinstance(event, dict):
        return {}
    if isinstance(event.get("response"), dict) and str(event.get("type", "")).startswith("response.") \
            and "usage" not in event and event["type"] != "response.done":
        return event["response"]
    for inner in ("metadata", "message"):
        if isinstance(event.get(inner), dict) and "usage" in event[inner]:
            return event[inner]
    if event.get("type") == "message-end":
        return event.get("delta") or {}
    if isinstance(event.get("x_groq"), dict) and event["x_groq"].get("usage") and not event.get("usage"):
        return event["x_groq"]
    return event


def theirs(case: dict, provider: str, kind: str) -> dict:
    """Their usage as our meters; raises ValueError where they refuse."""
    found = next(p for p in data_snapshot.get_snapshot().providers if p.id == provider)
    read = lambda value: found.extract_usage(value, api_flavor=kind)[1]
    usages, overlay = [], {}
    for event in documents(case):
        value = unwrap(event)
        messages = kind == "anthropic" or provider == "anthropic" and kind == "default"
        if messages and case["input"]["stream"] and isinstance(value.get("usage"), dict):
            overlay.update({k: v for k, v in value["usage"].items() if v is not None})
            value = {"usage": overlay}
        try:
            usages.append(read(value))
        except ValueError as refused:
            if not case["input"]["stream"]:
                raise
            last = refused
    if not usages:
        raise ValueError(str(locals().get("last", "nothing to read")))
    usage = sum(usages[1:], usages[0]) if kind == "realtime" else usages[-1]
    values = {UNITS[k]: Decimal(str(v)) for k, v in usage.__dict__.items() if k in UNITS}
    if provider == "perplexity" and kind == "default" and "web_search_requests" in values:
        values["search_queries"] = values.pop("web_search_requests")
    return values


def readable(provider: str, kind: str) -> set:
    """The meters their extractor can fill; others are not compared."""
    found = next(p for p in data_snapshot.get_snapshot().providers if p.id == provider)
    extractor = next(e for e in found.extractors if e.api_flavor == kind)
    meters = {UNITS[m.dest] for m in extractor.mappings if m.dest in UNITS}
    if provider == "perplexity" and kind == "default":
        meters = meters - {"web_search_requests"} | {"search_queries"}
    return meters


def differences(case: dict):
    """(meter, theirs, ours) where they differ; meter `-` where one of the two reads nothing at all."""
    provider, kind = flavour(case)
    ours = {m: Decimal(v) for m, v in case["expected"]["usage"].items()}
    meters = readable(provider, kind)
    try:
        found = theirs(case, provider, kind)
    except (ValueError, TypeError, KeyError, AttributeError) as refused:
        if meters & set(ours):
            yield "-", f"refuses: {refused}", "reads"
        return
    if not meters & set(ours):
        yield "-", "reads", "nothing"
        return
    for meter in sorted(meters):
        if found.get(meter) != ours.get(meter):
            yield meter, found.get(meter), ours.get(meter)


def rows():
    """(glob, meter, count) of the table's rows for this comparison."""
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 6 and cells[0].startswith("`") and cells[2].isdigit():
            yield [glob.strip("` ") for glob in cells[0].split(",")], [m.strip("` ") for m in cells[1].split(",")], int(cells[2])


def main() -> int:
    compared = Counter()
    open_ones, table = [], list(rows())
    explained = [0] * len(table)
    for _, case in fixtures.load():
        name = case["input"]["id"]
        if flavour(case) is None:
            compared["no extractor"] += 1
            continue
        found = list(differences(case))
        compared["differ" if found else "agree"] += 1
        for meter, them, us in found:
            row = next((i for i, (globs, meters, _) in enumerate(table)
                        if meter in meters and any(fnmatch.fnmatchcase(name, glob) for glob in globs)), None)
            if "--list" in sys.argv:
                print(f"{name}\t{meter}\ttheirs {them}\tours {us}\t{'row ' + str(row + 1) if row is not None else 'NOT EXPLAINED'}")
            if row is None:
                open_ones.append(f"not explained: {name} {meter}: genai-prices {them}, expected {us}")
            else:
                explained[row] += 1
    for (globs, meters, count), seen in zip(table, explained):
        if count != seen:
            open_ones.append(f"the row for {globs} {meters} explains {seen} differences, not {count}")
    for line in open_ones:
        print(line)
    print(f"genai-prices: {compared['agree']} cases agree, {compared['differ']} differ and are explained, "
          f"{compared['no extractor']} have no extractor there" if not open_ones else f"{len(open_ones)} not explained")
    return bool(open_ones)


if __name__ == "__main__":
    sys.exit(main())
