"""Checks what a Farebox operator promised, with public libraries only.

    pip install -r requirements.txt
    python verify.py PUBLIC_KEYS records.ndjson promise…

PUBLIC_KEYS is a file with the operator's Ed25519 keys (hex, separated by commas); a promise is a
file with a checkpoint (a C2SP signed note) or a receipt. Prints one line for each promise and exits
with 1 at the first that does not hold. The format is described in docs/record-format.md.
"""

import base64
import hashlib
import json
import sys
from datetime import datetime

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

RECEIPT_DOMAIN = b"farebox-receipt-v1\n"


def signed(keys, message, signature):
    for key in keys:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
            return True
        except InvalidSignature:
            continue
    return False


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def root(leaves):
    """The root of an RFC 6962 tree."""
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return sha256(b"\0", leaves[0])
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1", root(leaves[:left]), root(leaves[left:]))


def chains(path):
    """Canonical bytes of each customer's records, in order, without holes."""
    found = {}
    with open(path, "rb") as archive:
        for line in filter(None, map(bytes.strip, archive)):
            record = json.loads(line)["record"]
            found.setdefault(record["customer"], {})[record["seq"]] = rfc8785.dumps(record)
    for customer, records in found.items():
        assert sorted(records) == list(range(1, len(records) + 1)), f"{customer}: a gap"
    return {name: [records[seq] for seq in sorted(records)] for name, records in found.items()}


def check_checkpoint(note, keys, archive):
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    origin, size, tree, *more = text.splitlines()
    said = dict(line.split(" ", 1) for line in more)
    size = int(size)
    for line in signatures.strip().splitlines():
        dash, name, blob = line.split(" ")
        blob = base64.b64decode(blob)
        ids = {sha256(f"{origin}\n".encode(), b"\1", key)[:4]: key for key in keys}
        key = ids.get(blob[:4])
        if (dash, name) == ("—", origin) and key and signed([key], text.encode(), blob[4:]):
            break
    else:
        raise AssertionError("no signature by a known key")
    records = archive.get(origin.rsplit("/", 1)[1], [])
    assert len(records) >= size, f"MISSING: {size} records were counted, {len(records)} are here"
    head = hashlib.sha256(records[size - 1]).hexdigest() if size else "0" * 64
    same = root(records[:size]) == base64.b64decode(tree) and head == said["head"]
    assert same, "FORK: the checkpoint is over other records"
    return f"{origin}: {size} records are those of {said['time']}"


def check_receipt(text, keys, archive):
    payload, signature = (base64.urlsafe_b64decode(part + "==") for part in text.strip().split("."))
    assert signed(keys, RECEIPT_DOMAIN + payload, signature), "no signature by a known key"
    receipt = json.loads(payload)
    assert rfc8785.dumps(receipt) == payload, "not in canonical form"
    records = [json.loads(record) for record in archive.get(receipt["customer"], [])]
    found = [r["seq"] for r in records if r["attempt_id"] == receipt["attempt_id"]]
    if not found:
        times = [datetime.fromisoformat(r["recorded_at"].replace("Z", "+00:00")) for r in records]
        due = datetime.fromisoformat(receipt["by"].replace("Z", "+00:00"))
        assert not times or max(times) < due, "MISSING: the promised record is not here"
        return f"attempt {receipt['attempt_id']}: not due before {receipt['by']}"
    return f"attempt {receipt['attempt_id']}: record {', '.join(map(str, found))}"


def main(public_keys, records, *promises):
    with open(public_keys) as file:
        keys = [bytes.fromhex(key.strip()) for key in file.read().split(",") if key.strip()]
    archive = chains(records)
    for path in promises:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        check = check_checkpoint if "\n" in text.strip() else check_receipt
        try:
            print(check(text, keys, archive))
        except AssertionError as problem:
            sys.exit(f"{path}: {problem}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
