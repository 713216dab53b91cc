"""Counts generated strings and real text with tiktoken and with `farebox tokens`, and compares.

The vocabularies are read back from this project's own tables, and accepted only where the rank file
made of them has the SHA-256 that tiktoken itself has for it. Nothing is downloaded.

    python against_tiktoken.py FAREBOX [--strings N] [--seed S] [--every-character] [--files FILE…]
"""

import argparse
import base64
import hashlib
import json
import random
import struct
import subprocess
import sys
import unicodedata
from pathlib import Path

import tiktoken
import tiktoken_ext.openai_public as openai_public

DATA = Path(__file__).resolve().parents[2] / "src/tokens/data"
ENCODINGS = ("o200k_base", "cl100k_base")
SHOWN = 5  # differences printed


def ranks(name):
    """The vocabulary of a table (src/tokens/table.rs), token -> rank."""
    read = lambda part: (DATA / name / f"{part}.bin").read_bytes()
    pairs, groups, tokens = read("pairs"), read("groups"), read("tokens")
    low, high = read("ranks_low"), read("ranks_high")
    # The single bytes come first, the printable ones before the others.
    printable = [b for b in range(256) if chr(b).isprintable() and chr(b) != " "]
    bytes_in_order = printable + [b for b in range(256) if b not in set(printable)]
    found = {bytes([byte]): rank for rank, byte in enumerate(bytes_in_order)}
    for pair in range(65_536):
        rank = int.from_bytes(pairs[3 * pair:3 * pair + 3], "little")
        if rank != 0xFFFFFF:
            found[pair.to_bytes(2, "big")] = rank
    for length in range(3, len(groups) // 20):
        start, first, slots, _, _ = struct.unpack_from("<5I", groups, 20 * length)
        for slot in range(slots):
            token = tokens[start + slot * length:start + (slot + 1) * length]
            place = first + slot
            if token != b"\xff" * length:
                found[token] = low[2 * place] | low[2 * place + 1] << 8 | (high[place // 4] >> 2 * (place % 4) & 3) << 16
    return found


def from_tables(address, expected_hash):
    """Stands in for tiktoken's own loader, which would fetch the rank file."""
    name = address.rsplit("/", 1)[1].removesuffix(".tiktoken")
    found = ranks(name)
    lines = sorted((rank, token) for token, rank in found.items())
    file = b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in lines)
    assert hashlib.sha256(file).hexdigest() == expected_hash, f"{name}: not the published vocabulary"
    return found


def alphabets():
    """Kinds of characters, by what the splitting rules and the vocabularies tell apart."""
    category = {}
    for code in range(sys.maxunicode + 1):
        category.setdefault(unicodedata.category(chr(code)), []).append(chr(code))
    del category["Cs"]  # surrogates are not text
    several = lambda *names: [c for name in names for c in category[name]]
    block = lambda first, last: [chr(code) for code in range(first, last + 1)]
    return {
        "ascii": block(0x20, 0x7E),
        "letters": block(0x41, 0x5A) + block(0x61, 0x7A),
        "digits": block(0x30, 0x39),
        "spaces": list(" \t\r\n\v\f\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"),
        "latin": block(0xA0, 0x24F),
        "cyrillic, greek": block(0x370, 0x52F),
        "semitic, indic": block(0x590, 0xDFF),
        "cjk": block(0x4E00, 0x9FFF),
        "kana, hangul": block(0x3040, 0x30FF) + block(0xAC00, 0xD7A3),
        "emoji": block(0x1F300, 0x1FAFF) + ["\u200d", "\ufe0f", "\u20e3"],
        "marks": several("Mn", "Mc", "Me"),
        "letters without case": several("Lo", "Lm"),
        "title case": several("Lt"),
        "upper": several("Lu"),
        "lower": several("Ll"),
        "numbers": several("Nd", "Nl", "No"),
        "symbols": several("Sm", "Sc", "Sk", "So", "Po", "Pd", "Ps", "Pe", "Pi", "Pf", "Pc"),
        "controls": several("Cc", "Cf"),
        "unassigned, private": several("Cn", "Co"),
        "everything": [c for names in category.values() for c in names],
    }


CONTRACTIONS = ["'s", "'S", "'t", "'T", "'re", "'RE", "'rE", "'ve", "'m", "'ll", "'lL", "'d", "'ſ", "’s", "'", "''", "'l", "'r"]
WORDS = ["the", " The", " CAMELcase", "don't", " it's", "I'LL", "x1", "2026", " 3.14", "http://", "a/b", "/\n/", "\r\n", "\n\n  ", "   ", "!!!", " ...", "é", "e\u0301", "ǅ", "ʰ", "中文", " null", "();", "{\n", "<|endoftext|>"]


def strings(count, seed):
    """Each of a kind, a mixture of kinds, or words with contractions; most short, a few long."""
    chance, kinds = random.Random(seed), alphabets()
    names = list(kinds)
    for _ in range(count):
        length = chance.choice((1, 2, 3, 5, 8, 13, 30, 80, 200 if chance.random() < 0.2 else 20))
        style = chance.random()
        if style < 0.35:
            kind = kinds[chance.choice(names)]
            yield "".join(chance.choice(kind) for _ in range(length))
        elif style < 0.7:
            mixed = [kinds[chance.choice(names)] for _ in range(chance.randint(2, 4))]
            yield "".join(chance.choice(chance.choice(mixed)) for _ in range(length))
        elif style < 0.8:
            character = chance.choice(kinds[chance.choice(names)])
            yield character * length + chance.choice(("", " ", "\n", "a", "A", "1", "."))
        else:
            parts = WORDS + CONTRACTIONS
            parts = parts + [chance.choice(kinds[chance.choice(names)]) for _ in range(10)]
            yield "".join(chance.choice(parts) for _ in range(max(2, length // 3)))


def every_character():
    """Each between letters, after a space, and before a digit: shows its class and its bytes."""
    for code in range(sys.maxunicode + 1):
        if not 0xD800 <= code <= 0xDFFF:
            yield f"a{chr(code)}Bc {chr(code)}{chr(code)}1'{chr(code)} "


def texts(files):
    for file in files:
        try:
            yield Path(file).read_bytes().decode("utf-8")
        except (UnicodeDecodeError, IsADirectoryError, FileNotFoundError):
            continue  # not text


TEXT_MAX = 1 << 20  # a longer text is bounded, not counted


def fits(answer, want, text):
    """Whether a count is the reference's, or, of a text too long to count, bounds that hold."""
    if len(text.encode()) <= TEXT_MAX:
        return answer.get("exact") and answer["tokens"] == str(want)
    return not answer["exact"] and int(answer["tokens"]) <= want <= int(answer["at_most"])


def compare(farebox, samples):
    """Both counts of every sample in every encoding; how many there were and those that differ."""
    known = {name: tiktoken.Encoding(**getattr(openai_public, name)()) for name in ENCODINGS}
    lines = (json.dumps({"id": 0, "text": text, "encoding": name}) for text in samples for name in ENCODINGS)
    counted = subprocess.run([farebox, "tokens"], input="\n".join(lines), capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in counted.stdout.splitlines()]
    assert len(answers) == len(samples) * len(ENCODINGS), "an answer for each line"
    wrong = []
    for index, answer in enumerate(answers):
        text, name = samples[index // len(ENCODINGS)], ENCODINGS[index % len(ENCODINGS)]
        want = len(known[name].encode_ordinary(text))
        if not fits(answer, want, text):
            wrong.append((name, text[:200], want, answer))
    return len(answers), wrong


def main():
    options = argparse.ArgumentParser()
    options.add_argument("farebox")
    options.add_argument("--strings", type=int, default=3000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--every-character", action="store_true")
    options.add_argument("--files", nargs="*", default=[])
    options = options.parse_args()
    openai_public.load_tiktoken_bpe = from_tables
    suites = {f"{options.strings} generated strings, seed {options.seed}": list(strings(options.strings, options.seed))}
    suites[f"{len(options.files)} files"] = list(texts(options.files))
    if options.every_character:
        suites["every character"] = list(every_character())
    failed = 0
    for name, samples in suites.items():
        count, wrong = compare(options.farebox, samples)
        print(f"{name}: {count} counts, {len(wrong)} differ", flush=True)
        for encoding, text, want, answer in wrong[:SHOWN]:
            print(f"  {encoding} {text!r}: tiktoken {want}, farebox {answer}")
        failed += len(wrong)
    sys.exit(1 if failed else 0)


main()
