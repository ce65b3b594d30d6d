"""Readers of text from outside: one bound on size and nesting, one short sentence for whatever is wrong.

Every reader takes the class of the error that it raises. The error names the file, what is wrong and what to do.
"""

from overcast.reading.files import file_sha256, read_bytes, read_text
from overcast.reading.json_text import parse_json, read_json, read_json_object
from overcast.reading.records import explained, parse_record, read_record, validated
from overcast.reading.tables import Row, read_rows, read_table
from overcast.reading.web import read_web
from overcast.reading.words import first_line, quoted, shortened
from overcast.reading.xml_text import looks_like_xml, parse_xml
from overcast.reading.yaml_text import parse_yaml, read_yaml

__all__ = [
    "Row",
    "explained",
    "file_sha256",
    "first_line",
    "looks_like_xml",
    "parse_json",
    "parse_record",
    "parse_xml",
    "parse_yaml",
    "quoted",
    "read_bytes",
    "read_json",
    "read_json_object",
    "read_record",
    "read_rows",
    "read_table",
    "read_text",
    "read_web",
    "read_yaml",
    "shortened",
    "validated",
]
