"""Text from outside: what is read, and that every refusal is one short sentence that names the file."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from overcast.errors import InputError, OvercastError
from overcast.reading import (
    first_line,
    looks_like_xml,
    parse_xml,
    quoted,
    read_json,
    read_rows,
    read_table,
    read_text,
    read_web,
    read_yaml,
    web,
)
from overcast.redact import redacted

DEEP = 5000


def refusal(read: Callable[..., Any], path: Path, *arguments: Any) -> str:
    """The one short sentence by which a file is refused."""
    with pytest.raises(InputError) as caught:
        read(path, InputError, *arguments)
    message = str(caught.value)
    assert path.name in message
    assert len(message.replace(str(path.parent), "")) <= 300
    assert message.isprintable()
    assert message.endswith(".")
    return message


BAD_JSON = [
    ("[" * DEEP + "]" * DEEP, "more than 64 deep"),
    ("[" * 65 + "]" * 65, "more than 64 deep"),
    ("9" * 5000, "4300"),
    ('{"a": "\\ud800"}', "half a character"),
    ('{"a": 1', "line 1"),
    ("{}".encode("utf-16"), "is text in UTF-16"),
    ('{"a": 1, "b": 2}'.encode("utf-16-le"), "UTF-16"),
    ('{"a": "ü"}'.encode("latin-1"), "perhaps Latin-1 .*byte 0xfc at 7"),
    (b"", "Expecting value"),
]


@pytest.mark.parametrize(("content", "reason"), BAD_JSON)
def test_json_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: str | bytes, reason: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refusal(read_json, path)
    assert re.search(reason, message), message


def test_json_is_read_with_a_mark_whole_escapes_and_some_depth(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf["\\ud83d\\udef0"]')
    assert read_json(path, InputError) == ["\N{SATELLITE}"]
    path.write_text("[" * 60 + "]" * 60)
    assert str(read_json(path, InputError)) == "[" * 60 + "]" * 60


BAD_YAML = [
    ("a: &x [1]\nb: *x", r"alias \*x is not allowed"),
    ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "alias"),
    ("[" * DEEP, "deep"),
    ("a: 2001-99-99", "'2001-99-99' is not of type timestamp in line 1"),
    ("a: !!int abc", "'abc' is not of type int"),
    ("a: !!int ''", "'' is not of type int"),
    ("a: !!float x", "'x' is not of type float"),
    ("a: !!bool x", "'x' is not of type bool"),
    ("a: !!timestamp x", "'x' is not of type timestamp"),
    ("a: " + "9" * 5000, "is not of type int"),
    ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
    ("? [a, b]\n: c", "key"),
    ("a: 1\na: 2", "key 'a' is given twice in line 2"),
    ('a: "\\ud800"', "half a character"),
    ("a: 1\n---\nb: 2", "another document"),
    ("a: \x07", "unacceptable character"),
    ("a: 'b", "end of stream"),
]


@pytest.mark.parametrize(("text", "reason"), BAD_YAML)
def test_yaml_that_nobody_means_is_one_sentence(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    message = refusal(read_yaml, path)
    assert "is not readable YAML" in message
    assert re.search(reason, message), message


def test_yaml_numbers_dates_and_nothing_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1e-4\nb: .inf\nc: &anchor 3\nd: off\ne: False\n")
    assert read_yaml(path, InputError) == {"a": 1e-4, "b": float("inf"), "c": 3, "d": "off", "e": False}
    path.write_text("# nothing\n")
    assert read_yaml(path, InputError) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("key,split\nü,train\n".encode("latin-1"), "perhaps Latin-1"),
        ("key,split\na,train\n".encode("utf-16"), "UTF-16"),
        (b"key,split\n" + b"a" * 200_000 + b",train\n", "line 2 is not a row of a table"),
        (b'key,split\n"a,train\nb,test\n', "is not a row of a table"),
        (b"key,split\na,train,more\n", "line 2 has more cells"),
        (b"key;split\na;train\n", "lacks the columns key,split"),
        (b"", "lacks the columns key,split"),
    ],
)
def test_tables_that_cannot_be_read_are_one_sentence(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert reason in refusal(lambda path, error: read_table(path, error, ("key", "split"), "write them"), path)


def test_tables_as_excel_writes_them_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfsplit,key\r\n\r\ntrain,"a ""b"", c"\r\ntest\r\n')
    rows = read_table(path, InputError, ("key", "split"), "write them")
    assert [(row.line, row["key"], row["split"]) for row in rows] == [(3, 'a "b", c', "train"), (4, "", "test")]
    assert read_rows(path, InputError)[0] == (1, ["split", "key"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "ISO-8859-1", "windows-1252"])
def test_xml_is_read_in_the_encoding_that_it_declares(encoding: str) -> None:
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    text = f'<?xml version="1.0" encoding="{declared}"?><a xmlns="http://n/s"><b c="ü">90\N{DEGREE SIGN}</b></a>'
    content = text.encode(encoding)
    assert looks_like_xml(content)
    (inner,) = parse_xml(content, "a.xml", InputError, "name another")
    assert (inner.tag, inner.text, inner.attrib) == ("{http://n/s}b", "90\N{DEGREE SIGN}", {"c": "ü"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "it defines entities"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "it defines entities"),
        ("<a>" * DEEP, "more than 256 deep"),
        ("<a><b></a>", "mismatched tag"),
        ('<?xml version="1.0" encoding="none-such"?><a/>', "encoding"),
        ('<?xml version="1.0" encoding="euc_jp"?><a/>', "encoding"),
    ],
)
def test_xml_with_entities_or_without_end_is_refused(content: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"^a.xml is not readable XML .*{reason}"):
        parse_xml(content.encode(), "a.xml", InputError, "name another")


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    large, pipe = tmp_path / "large.txt", tmp_path / "pipe"
    with large.open("wb") as file:
        file.truncate(65 * 2**20)
    os.mkfifo(pipe)
    assert "more than 64 MB" in refusal(read_text, large, "name another")
    assert "is not a regular file" in refusal(read_text, pipe, "name another")
    assert "Is a directory" in refusal(read_text, tmp_path, "name another")
    assert "does not exist" in refusal(read_text, tmp_path / "none.txt", "name another")
    with pytest.raises(InputError, match="cannot be read"):
        read_text(Path("a\0b"), InputError, "name another")


def test_quotations_are_short_whatever_they_quote() -> None:
    nested: list[Any] = []
    for _ in range(DEEP):
        nested = [nested]
    for value in (
        nested,
        "x" * 10**6,
        {str(i): i for i in range(10**5)},
        10**5000,
        [["y" * 999] * 99] * 99,
        "a\nb\x1b",
    ):
        assert len(quoted(value)) <= 60
        assert quoted(value).isprintable()
    assert first_line(ValueError()) == "ValueError"
    assert first_line(ValueError("\n\na.\nb")) == "a"


def test_errors_are_one_printable_line_without_secrets() -> None:
    error = OvercastError("a\nb\x1b[31m http://me:pass@host/x?sig=1; do it.")
    assert str(error) == "a b\N{REPLACEMENT CHARACTER}[31m http://host/x; do it."


@pytest.mark.parametrize(
    "text",
    [
        "https://user:secret@host/a.tif?sig=secret&x=1",
        "'http://user:s'e)cret@host/a.tif#secret'",
        "/vsicurl/http://user:secret@host/a.tif?key=secret",
        "/vsicurl?url=https%3A%2F%2Fuser%3Asecret%40host%2Fa.tif%3Fsig%3Dsecret",
        "/vsicurl?header.Authorization=secret&url=http%3A%2F%2Fhost%2Fa.tif&password=secret",
        "https%253A%252F%252Fuser%253Asecret%2540host%252Fa.tif",
        "s3://user:secret@bucket/a.tif?token=secret",
        "http:/user:secret@host/a.tif",
        "HTTPS://secret@host/a.tif",
        "augmentation.optical.http://user:secret@host/a.tif?x=secret",
        "x" * 99 + "http://user:secret@host/a.tif?x=secret",
    ],
)
def test_no_form_of_an_address_tells_its_secret(text: str) -> None:
    found = redacted(f"{text} cannot be read (HTTP 403: {text}); ask.")
    assert "secret" not in found.replace("s'e)cret", "secret")
    assert "a.tif" in found
    assert found.endswith("; ask.")


def test_texts_without_secrets_stay_as_they_are() -> None:
    for text in (
        "C:/Users/x@y/a.tif",
        "100 % of a@b",
        "see https://host/a/b.tif; copy it",
        "a?b#c",
        "s3://bucket/k.tif",
    ):
        assert redacted(text) == text


def test_redaction_takes_no_time_on_any_text() -> None:
    start = time.process_time()
    for text in ("a" * 10**5, "a:/" * 10**4, "%3A%2F" * 10**4, "http://" + "@" * 10**5, "a%3A%2F%2F" * 10**4):
        redacted(text + ":/")
    assert time.process_time() - start < 5


# -- servers -----------------------------------------------------------------------------------------------------------


class Odd(BaseHTTPRequestHandler):
    """A server with odd manners."""

    asked: ClassVar[list[str | None]] = []
    end = threading.Event()

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Authorization"))
        place = self.path.partition("?")[0]
        if place in {"/ftp", "/file", "/again"}:
            self.send_response(302)
            targets = {"/ftp": "ftp://127.0.0.1/x", "/file": "file:///etc/passwd", "/again": "/again"}
            self.send_header("Location", targets[place])
            self.end_headers()
            return
        self.send_response(403 if place == "/no" else 200)
        self.end_headers()
        if place == "/endless":
            while True:
                self.wfile.write(b" " * 2**20)
        elif place == "/slow":
            while True:
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.05)
        elif place == "/never":
            self.end.wait(10)
        else:
            self.wfile.write(b'{"a": 1}')

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def odd_server() -> Iterator[str]:
    Odd.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that have seen enough
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        Odd.end.set()
        server.shutdown()
        thread.join()


def test_answers_of_servers_have_a_bound_and_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(web, "LARGEST_ANSWER_BYTES", 2**21)
    reasons = {
        "endless": "more than 2 MB",
        "slow": "took over 0.5 s",
        "never": "timed out",
        "no": "HTTP Error 403",
        "ftp": "cannot be fetched",
        "file": "not allowed",
        "again": "infinite loop",
    }
    with odd_server() as host:
        assert read_web(f"http://us:PASSW0RD@{host}/x?S3CRET=1", InputError, "check it") == b'{"a": 1}'
        assert Odd.asked == ["Basic dXM6UEFTU1cwUkQ="]
        for place, reason in reasons.items():
            with pytest.raises(InputError, match=reason) as caught:
                read_web(f"http://us:PASSW0RD@{host}/{place}?S3CRET=1", InputError, "check it", timeout_s=0.5)
            assert not {"PASSW0RD", "S3CRET"} & set(str(caught.value).replace("?", " ").split())
            assert str(caught.value).startswith(f"http://{host}/{place}")


@pytest.mark.parametrize("url", ["http://[", "http://user:PASSW0RD@host:port/x", "http://a b/\n", "http://\ud800/"])
def test_addresses_that_are_none_are_said_without_quoting_their_password(url: str) -> None:
    with pytest.raises(InputError) as caught:
        read_web(url, InputError, "check it")
    assert "PASSW0RD" not in str(caught.value)
