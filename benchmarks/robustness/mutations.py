"""Damaged and odd variants of valid files: of their values where the format has any, and of their bytes."""

from __future__ import annotations

import copy
import csv
import io
import json
import random
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import yaml

Mutate = Callable[[bytes, random.Random], bytes]
RAW = "\ue000raw{}\ue000"
"""Stands in a value for text that no serialiser writes."""
DEEP = 3000

JSON_TEXTS = (
    "1e400", "-1e400", "NaN", "-Infinity", "1e308", "9" * 5000, "9" * 20, "-" + "9" * 25, "0.1e-400",
    "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP, "[" * 60 + "]" * 60, '"\\ud800"', '"\\u0000"', "'a'",
    "01", "1_000", "", '{"a": 1, "a": 2}', "\ufeff1", '"\\u202e\\n"',
)  # fmt: skip
YAML_TEXTS = (
    "2001-99-99", "2001-01-01", "!!int abc", "!!int ''", "!!float x", "!!bool x", "!!timestamp x", "!!binary '*'",
    "!!binary aGFsbG8=", "!!python/object/apply:os.system [id]", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]",
    "!!null x", "!odd x", "&a [*a]", "*missing", "? [a, b]", "{[a, b]: 1}", "{<<: {a: 1}}", "{<<: 3}", ".inf", "-.inf",
    ".nan", "9" * 5000, "0x" + "f" * 300, "0o777777777777777777777777", "190:20:30", "1e400", "[" * DEEP, "- " * DEEP,
    "{a: " * DEEP, '"\\ud800"', '"\\0"', "'", "|", "@a", "%a", "\t", "yes", "~", "--- 1\n--- 2", "{a: 1, a: 2}", "...",
)  # fmt: skip
SIGNED_ADDRESS = "http://user:PASSW0RD@127.0.0.1:9/x?Signature=S3CRET"
TEXTS = (
    "", " ", "x" * 5000, "../../../etc/passwd", "/etc/passwd", "a\x00b", "a\nb", "\x1b[31m", "[/x]", "<b>", "a'b\"c",
    "-",
    "..",
    SIGNED_ADDRESS, "/vsicurl/http://127.0.0.1:9/x", "file:///etc/passwd",
    "http://[",
    "tu-hf_hub:a/b", "EPSG:0", "EPSG:999999", "nan", "inf", "1e400", "-1", "9" * 30, "ü\u0308\U0001f6f0",
    "\ue000", "a" * 300,
    "\\\\host\\share", "NUL", "%s%n", "${HOME}", "{0}", "(a+)+$", "(?P<place>(a+)+)b$", "(" * 200, "a{99999999999}",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 255, 256, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**18, 10**30, 0.5, -0.0, 1e-300, 1e17,
    1e300, 361, 100.7, 65536, 10**6, 10**9,
)  # fmt: skip
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [1], {"a": 1}, [None], "a", ["a", "a"], [[1, 2], [3]], 5)


def of_json(content: bytes, rng: random.Random) -> bytes:
    """Values of JSON replaced, removed, doubled, swapped or renamed; now and then its bytes."""
    if rng.random() < 0.25:
        return of_text(content, rng)
    value, raws = _mutated(json.loads(content), rng, JSON_TEXTS)
    return _with_raws(json.dumps(value, ensure_ascii=rng.random() < 0.5), raws, '"')


def of_json_lines(content: bytes, rng: random.Random) -> bytes:
    """The same for one of several lines of JSON."""
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = of_json(lines[at], rng)
    if rng.random() < 0.2:
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return b"\n".join(lines) + (b"\n" if rng.random() < 0.7 else b"")


def of_yaml(content: bytes, rng: random.Random) -> bytes:
    """The same for YAML."""
    if rng.random() < 0.25:
        return of_text(content, rng)
    value, raws = _mutated(yaml.safe_load(content), rng, YAML_TEXTS)
    text = yaml.safe_dump(value, default_flow_style=rng.choice([None, True, False]), allow_unicode=True, width=10**6)
    return _with_raws(text, raws, "")


def of_header(content: bytes, rng: random.Random) -> bytes:
    """A file of safetensors: its JSON header, or its bytes."""
    if rng.random() < 0.4:
        return of_bytes(content, rng)
    length = int.from_bytes(content[:8], "little")
    header = of_json(content[8 : 8 + length], rng)
    size = len(header) if rng.random() < 0.8 else rng.choice([0, 2**63, 10**9, len(header) + 1])
    return size.to_bytes(8, "little") + header + content[8 + length :]


def of_xml(content: bytes, rng: random.Random) -> bytes:
    """Elements of XML changed, removed, doubled or nested; declarations, encodings and entities; or its bytes."""
    kind = rng.random()
    if kind < 0.25:
        return of_text(content, rng)
    root = ET.fromstring(content)  # noqa: S314  # our own file
    for _ in range(rng.randint(1, 3)):
        _change_element(rng.choice(list(root.iter())), rng)
    text = ET.tostring(root, encoding="unicode")
    if kind < 0.35:
        entity = rng.choice(['<!ENTITY a "b">', '<!ENTITY a SYSTEM "file:///etc/passwd">', '<!ENTITY % a "b">'])
        return f"<!DOCTYPE r [{entity}]>{text.replace('</', '&a;</', 1)}".encode()
    if kind < 0.55:
        name = rng.choice(["ISO-8859-1", "UTF-16", "US-ASCII", "windows-1252", "UTF-32", "none", "utf-7", "euc_jp"])
        return f'<?xml version="1.0" encoding="{name}"?>{text}ü'.encode(
            rng.choice(["utf-8", "utf-16", "latin-1"]), "replace"
        )
    if kind < 0.6:
        return (text[:-1] + "<a>" * DEEP).encode()
    return text.encode()


def of_csv(content: bytes, rng: random.Random) -> bytes:
    """Cells of a table replaced, rows doubled, cut or lengthened, quotes left open; or its bytes."""
    if rng.random() < 0.3:
        return of_text(content, rng)
    rows = [row for row in csv.reader(io.StringIO(content.decode())) if row]
    for _ in range(rng.randint(1, 3)):
        row = rng.choice(rows)
        match rng.randrange(6):
            case 0 | 1:
                row[rng.randrange(len(row))] = str(rng.choice([*TEXTS, *NUMBERS, "y" * 200_000]))
            case 2:
                row.append(rng.choice(TEXTS))
            case 3 if len(row) > 1:
                row.pop()
            case 4:
                rows.insert(rng.randrange(len(rows) + 1), list(row))
            case _:
                rng.shuffle(row)
    table = io.StringIO()
    csv.writer(table, delimiter=rng.choice(",,,,;\t"), lineterminator=rng.choice(["\n", "\r\n"])).writerows(rows)
    text = table.getvalue()
    return (text + ('"' + "z" * 100 if rng.random() < 0.1 else "")).encode("utf-8", "surrogatepass")


def of_text(content: bytes, rng: random.Random) -> bytes:
    """Another encoding, or bytes changed."""
    text = content.decode("utf-8", "replace")
    match rng.randrange(8):
        case 0:
            return (text + "ü").encode(
                rng.choice(["latin-1", "utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp037"]), "replace"
            )
        case 1:
            return b""
        case _:
            return of_bytes(content, rng)


def of_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes replaced, removed, doubled or inserted, the end cut off."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        if not data:
            break
        at, length = rng.randrange(len(data)), rng.choice([1, 2, 4, 8, 64])
        match rng.randrange(7):
            case 0 | 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                data[at : at + length] = rng.randbytes(length)
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length]
            case 5:
                data[at:at] = rng.choice(
                    [b"\0", b"\xff\xff\xff\xff", b"\xc3", b'"', b"[" * 50, b"\n", b"9" * 40, b"\xef\xbb\xbf"]
                )
            case _:
                del data[at:]
    return bytes(data)


def of_tiff(content: bytes, rng: random.Random) -> bytes:
    """Fields of a TIFF's directory made odd, or its bytes changed."""
    if rng.random() < 0.3:
        return of_bytes(content, rng)
    data = bytearray(content)
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    for _ in range(rng.randint(1, 2)):
        entry = start + 2 + 12 * rng.randrange(count)
        match rng.randrange(4):
            case 0:
                struct.pack_into("<H", data, entry + 2, rng.choice([0, 1, 2, 3, 4, 5, 7, 12, 16, 99]))
            case 1:
                struct.pack_into("<I", data, entry + 4, rng.choice([0, 1, 2, 1000, 2**31, 2**32 - 1]))
            case 2:
                struct.pack_into("<I", data, entry + 8, rng.choice([0, 1, 2, 8, 16, 4000, 65535, 2**31, 2**32 - 1]))
            case _:
                struct.pack_into(
                    "<H", data, entry, rng.choice([256, 257, 258, 259, 262, 277, 322, 324, 339, 33922, 42113])
                )
    return bytes(data)


def of_png(content: bytes, rng: random.Random) -> bytes:
    """A chunk of a PNG changed, its checksum right; or its bytes changed."""
    if rng.random() < 0.4:
        return of_bytes(content, rng)
    chunks, at = [], 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    index = rng.randrange(len(chunks))
    kind, body = chunks[index]
    match rng.randrange(4):
        case 0 if kind == b"IHDR":
            body = struct.pack(">II", *rng.choices([0, 1, 16, 20000, 2**31 - 1], k=2)) + body[8:]
        case 1:
            chunks.insert(index, (rng.choice([b"zTXt", b"iCCP", b"PLTE", b"tRNS", b"odd!"]), rng.randbytes(20)))
        case 2:
            del chunks[index]
    if index < len(chunks):
        chunks[index] = (kind, of_bytes(body, rng) if rng.random() < 0.5 else body)
    return content[:8] + b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big") for kind, body in chunks
    )


def of_sqlite(content: bytes, rng: random.Random) -> bytes:
    """A cell of a GeoPackage made odd, also of its own tables; or its bytes changed."""
    if rng.random() < 0.4:
        return of_bytes(content, rng)
    with tempfile.NamedTemporaryFile(suffix=".gpkg") as file:
        Path(file.name).write_bytes(content)
        base = sqlite3.connect(file.name, isolation_level=None)
        base.execute("PRAGMA trusted_schema = 0")
        for _ in range(rng.randint(1, 3)):
            try:
                _change_cell(base, rng)
            except sqlite3.Error:  # an earlier change made the file unreadable, or a constraint forbids this one
                break
        base.close()
        return Path(file.name).read_bytes()


def _change_cell(base: sqlite3.Connection, rng: random.Random) -> None:
    names = base.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    table = rng.choice([name for (name,) in names])
    columns = [row[1] for row in base.execute(f'PRAGMA table_info("{table}")')]
    value = rng.choice([None, rng.choice(TEXTS), rng.choice(NUMBERS), rng.randbytes(30), -1])
    value = float(value) if isinstance(value, int) and abs(value) >= 2**63 else value
    base.execute(f'UPDATE "{table}" SET "{rng.choice(columns)}" = ?', [value])  # noqa: S608  # our own file


def of_overrides(content: bytes, rng: random.Random) -> bytes:
    """The value of a `key=value` line."""
    key, _, _ = rng.choice(content.decode().splitlines()).partition("=")
    text = str(rng.choice([*YAML_TEXTS, *TEXTS, *NUMBERS]))
    return (f"{key}={text}" if rng.random() < 0.9 else text).encode("utf-8", "surrogatepass")


def _mutated(value: Any, rng: random.Random, texts: Sequence[str]) -> tuple[Any, list[str]]:
    """A changed copy of a value, and the raw texts that its placeholders stand for."""
    holder, raws = [copy.deepcopy(value)], list[str]()
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        places = list(_places(holder))
        parent, key = rng.choice(places[:1] if rng.random() < 0.03 else places)
        match rng.randrange(9):
            case 0 | 1:
                raws.append(rng.choice(texts))
                parent[key] = RAW.format(len(raws) - 1)
            case 2:
                parent[key] = rng.choice(TEXTS)
            case 3:
                parent[key] = rng.choice(NUMBERS)
            case 4 | 5:
                parent[key] = copy.deepcopy(rng.choice(OTHERS))
            case 6 if parent is not holder:
                del parent[key]
            case 7 if isinstance(parent, list):
                parent.insert(key, copy.deepcopy(parent[key]))
            case 7 if isinstance(parent, dict):
                parent[rng.choice(TEXTS)] = parent.pop(key)
            case _:
                other_parent, other = rng.choice(places)
                if other_parent is not holder and parent is not holder:
                    parent[key] = copy.deepcopy(other_parent[other])
    return holder[0], raws


def _places(value: Any) -> Any:
    """(container, key) of every value below one."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _with_raws(text: str, raws: Sequence[str], quote: str) -> bytes:
    for number, raw in enumerate(raws):
        for mark in (RAW.format(number), json.dumps(RAW.format(number))[1:-1]):
            text = text.replace(f"{quote}{mark}{quote}", raw).replace(f'"{mark}"', raw).replace(mark, raw)
    return text.encode("utf-8", "surrogatepass")


def _change_element(element: ET.Element, rng: random.Random) -> None:
    match rng.randrange(6):
        case 0 | 1:
            text = str(rng.choice([*TEXTS, *NUMBERS]))
            element.text = "".join(letter for letter in text if letter.isprintable())
        case 2:
            element.tag = rng.choice(["pass", "heading", "odd", "a.b", "lookDirection", "missionId"])
        case 3:
            element.set("odd", "x" * 1000)
        case 4 if len(element):
            element.remove(rng.choice(list(element)))
        case _:
            element.extend(copy.deepcopy(list(element)) or [ET.Element("more")])
