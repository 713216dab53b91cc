#!/usr/bin/env python3
"""Writes and reads AWS event-stream bodies, so that a fixture can be made or looked at by hand.

    make_event_streams.py encode < events.jsonl      one base64 body
    make_event_streams.py decode < body.base64       one event a line

An event is `{"headers": {":event-type": "metadata", …}, "payload": …}`; a payload that is not a
string is written as compact JSON. All header values are strings (type 7), as Bedrock sends them.
"""

import base64
import json
import struct
import sys
import zlib


def frame(headers: dict, payload) -> bytes:
    """One message: prelude and its CRC, headers, payload, CRC over all before it."""
    if not isinstance(payload, bytes):
        text = payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
        payload = text.encode()
    block = b"".join(
        struct.pack("!B", len(name)) + name.encode() + b"\x07" + struct.pack("!H", len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 12 + len(block) + len(payload) + 4, len(block))
    body = prelude + struct.pack("!I", zlib.crc32(prelude)) + block + payload
    return body + struct.pack("!I", zlib.crc32(body))


def event(kind: str, payload, message="event") -> bytes:
    """A frame as Bedrock labels it; `message` is `event` or `exception`."""
    name = ":event-type" if message == "event" else ":exception-type"
    return frame({name: kind, ":content-type": "application/json", ":message-type": message}, payload)


def chunk(native: dict, padding="abcdefgh") -> bytes:
    """A `chunk` of InvokeModelWithResponseStream: the model's own event, base64 inside JSON."""
    inner = json.dumps(native, separators=(",", ":"), ensure_ascii=False).encode()
    return event("chunk", {"bytes": base64.b64encode(inner).decode(), "p": padding})


def frames(body: bytes):
    """The events of a body, checked; stops with an error at the first bad frame."""
    at = 0
    while at < len(body):
        total, block = struct.unpack_from("!II", body, at)
        whole = body[at:at + total]
        if len(whole) < total or total < 16 + block:
            raise ValueError(f"the frame at byte {at} is cut off")
        if zlib.crc32(whole[:8]) != struct.unpack_from("!I", whole, 8)[0]:
            raise ValueError(f"bad prelude CRC at byte {at}")
        if zlib.crc32(whole[:-4]) != struct.unpack_from("!I", whole, total - 4)[0]:
            raise ValueError(f"bad message CRC at byte {at}")
        headers, h = {}, 12
        while h < 12 + block:
            size = whole[h]
            name = whole[h + 1:h + 1 + size].decode()
            if whole[h + 1 + size] != 7:
                raise ValueError(f"header {name} is not a string")
            length = struct.unpack_from("!H", whole, h + 2 + size)[0]
            headers[name] = whole[h + 4 + size:h + 4 + size + length].decode()
            h += 4 + size + length
        yield headers, whole[12 + block:-4]
        at += total


def main(verb: str) -> None:
    if verb == "encode":
        events = [json.loads(line) for line in sys.stdin if line.strip()]
        print(base64.b64encode(b"".join(frame(e["headers"], e["payload"]) for e in events)).decode())
    elif verb == "decode":
        for headers, payload in frames(base64.b64decode(sys.stdin.read())):
            print(json.dumps({"headers": headers, "payload": payload.decode()}, ensure_ascii=False))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
