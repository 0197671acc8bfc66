# SPDX-License-Identifier: Apache-2.0
"""The messages, field by field, and the rules that each must keep by itself."""

import collections
import re

from .wire import Broken, must

KIB, MIB = 1 << 10, 1 << 20
PAGE = 4096
CHANNELS_MAX = 16

SECTION = {1: ("name", "bytes"), 2: ("instance", "u32"), 3: ("version", "u32"), 4: ("size", "u32")}
REGION = {1: ("gpa", "u64"), 2: ("size", "u64"), 3: ("page_shift", "u32")}
FAILURE = {1: ("kind", "enum"), 2: ("text", "bytes")}
SCHEMAS = {
    "HELLO": {1: ("session", "bytes"), 2: ("name", "bytes"), 3: ("uuid", "bytes"),
              4: ("purpose", "enum"), 5: ("live", "bool"), 6: ("channels", "u32"),
              7: ("memory_bytes", "u64"), 8: ("vcpus", "u32"), 9: ("epoch", "u64"),
              10: ("producer", "bytes")},
    "STATIC": {1: ("config", "bytes"), 2: ("regions", [REGION]), 3: ("extent_objects", ["u32"]),
               4: ("extent_firsts", ["u64"]), 5: ("extent_counts", ["u64"]),
               6: ("sections", [SECTION])},
    "STATE": {1: ("purpose", "enum"), 2: ("sections", [SECTION])},
    "READY": {},
    "REFUSE": FAILURE,
    "PAGES": {1: ("round", "u32"), 2: ("object", "u32"), 3: ("first_deltas", ["u64"]),
              4: ("counts", ["u32"]), 5: ("encodings", ["enum"]), 6: ("zstd_bytes", ["u32"])},
    "SEAL": {1: ("round", "u32"), 2: ("final", "bool"), 3: ("pages", "u64"),
             4: ("payload_bytes", "u64"), 5: ("digest_low", "fixed64"),
             6: ("digest_high", "fixed64"), 7: ("last_seqs", ["u64"])},
    "SEALED": {1: ("round", "u32")},
    "END": {1: ("rounds", "u32"), 2: ("digest_low", "fixed64"), 3: ("digest_high", "fixed64"),
            4: ("paused", "bool")},
    "PREPARED": {1: ("digest_low", "fixed64"), 2: ("digest_high", "fixed64"),
                 3: ("load_ns", "u64")},
    "COMMIT": {1: ("epoch", "u64")},
    "COMMITTED": {1: ("epoch", "u64"), 2: ("resume_ns", "u64"), 3: ("cpu_ns", "u64")},
    "ABORT": FAILURE,
    "QUERY": {1: ("session", "bytes")},
    "OUTCOME": {1: ("outcome", "enum"), 2: ("text", "bytes")},
}

MIGRATE, SAVE = 1, 2
TRIAL, FINAL = 1, 2
RAW, ZERO, ZSTD = 1, 2, 3
ENCODINGS = {RAW: "RAW", ZERO: "ZERO", ZSTD: "ZSTD"}


def name(value, limit, field):
    must(len(value) <= limit, "text-length", f"{field} has {len(value)} bytes, more than {limit}")
    must(re.fullmatch(rb"[A-Za-z0-9._-]+", value), "name",
         f"{field} is not a name of letters, digits, '.', '_', '-'")
    return value.decode("ascii")


def text(value, limit, field, lines):
    must(len(value) <= limit, "text-length", f"{field} has {len(value)} bytes, more than {limit}")
    try:
        string = value.decode("utf-8")
    except UnicodeDecodeError:
        raise Broken("text", f"{field} is not UTF-8") from None
    allowed = "\t\n\r" if lines else ""
    must(not any((c < " " or c == "\x7f") and c not in allowed for c in string), "text",
         f"{field} has control characters")
    return string


def exactly(value, size, field):
    must(len(value) == size, "bytes-length", f"{field} has {len(value)} bytes instead of {size}")
    return value.hex()


def between(value, low, high, field):
    must(low <= value <= high, "range", f"{field} is {value} instead of {low} to {high}")


def known(value, numbers, field):
    must(value in numbers, "enum", f"{field} is {value}, which is not known")


def join_digest(message):
    message["digest"] = message.pop("digest_high") << 64 | message.pop("digest_low")


def check_sections(sections, payload_size):
    between(len(sections), 0, 1024, "the number of sections")
    for section in sections:
        section["name"] = name(section["name"], 23, "a section's name")
    total = sum(section["size"] for section in sections)
    must(total == payload_size, "sections-size",
         f"the sections have {total} bytes, the payload {payload_size}")


def check_hello(m, _payload_size):
    m["session"] = exactly(m["session"], 16, "session")
    m["name"] = name(m["name"], 63, "name")
    m["uuid"] = exactly(m["uuid"], 16, "uuid")
    known(m["purpose"], (MIGRATE, SAVE), "purpose")
    between(m["channels"], 1, CHANNELS_MAX, "channels")
    between(m["memory_bytes"], PAGE, 1 << 52, "memory_bytes")
    must(m["memory_bytes"] % PAGE == 0, "range", "memory_bytes is no whole number of pages")
    between(m["vcpus"], 1, 4096, "vcpus")
    m["producer"] = text(m["producer"], 63, "producer", False)


def check_static(m, payload_size):
    m["config"] = text(m["config"], 262143, "config", True)
    between(len(m["regions"]), 1, 8, "the number of regions")
    end = 0
    for region in m["regions"]:
        gpa, size = region["gpa"], region["size"]
        must(gpa % PAGE == 0 and size % PAGE == 0 and size > 0 and gpa + size <= 1 << 52
             and region["page_shift"] in (12, 21, 30), "region",
             f"the region at {gpa:#x} is misaligned or out of range")
        must(gpa >= end, "region-order", f"the region at {gpa:#x} overlaps or is out of order")
        end = gpa + size
    extents = m.pop("extent_objects"), m.pop("extent_firsts"), m.pop("extent_counts")
    between(len(extents[0]), 0, 4096, "the number of extents")
    must(len({len(array) for array in extents}) == 1, "arrays",
         "the extents' arrays differ in length")
    m["extents"] = list(zip(*extents))
    last = (0, 0)
    for object_number, first, count in m["extents"]:
        must(object_number < len(m["regions"]), "extent", f"an extent has object {object_number}")
        pages = m["regions"][object_number]["size"] // PAGE
        must(0 < count <= pages and first + count <= pages, "extent", "an extent leaves its region")
        must((object_number, first) >= last, "extent-order", "extents overlap or are out of order")
        last = (object_number, first + count)
    check_sections(m["sections"], payload_size)


def check_state(m, payload_size):
    known(m["purpose"], (TRIAL, FINAL), "purpose")
    check_sections(m["sections"], payload_size)


def check_failure(m, _payload_size):
    must(m["kind"] != 0, "enum", "kind is 0")
    m["text"] = text(m["text"], 1023, "text", True)


Run = collections.namedtuple("Run", "first count encoding bytes")


def check_pages(m, payload_size):
    deltas, counts = m.pop("first_deltas"), m.pop("counts")
    encodings, zstd_bytes = m.pop("encodings"), m.pop("zstd_bytes")
    between(m["round"], 1, (1 << 32) - 1, "round")
    between(len(deltas), 1, 4096, "the number of runs")
    must(len(counts) == len(deltas) == len(encodings), "arrays",
         "the runs' arrays differ in length")
    must(encodings.count(ZSTD) == len(zstd_bytes), "arrays",
         f"there are {encodings.count(ZSTD)} ZSTD runs and {len(zstd_bytes)} sizes for them")
    must(0 not in counts, "run-empty", "a run has no pages")
    must(sum(counts) <= 65536, "pages-count", f"{sum(counts)} pages are more than 65536")
    m["runs"], sizes, first = [], iter(zstd_bytes), 0
    for delta, count, encoding in zip(deltas, counts, encodings):
        known(encoding, ENCODINGS, "encoding")
        size = {RAW: count * PAGE, ZERO: 0}.get(encoding)
        if encoding == ZSTD:
            size = next(sizes)
            between(count, 1, 256, "the pages of a ZSTD run")
            between(size, 1, count * PAGE, "the bytes of a ZSTD run")
        first += delta
        must(first + count <= 1 << 40, "run-end", "a run ends behind page 2^40")
        m["runs"].append(Run(first, count, encoding, size))
        first += count
    total = sum(run.bytes for run in m["runs"])
    must(total == payload_size, "runs-size",
         f"the runs have {total} bytes, the payload {payload_size}")


def check_seal(m, _payload_size):
    between(m["round"], 1, (1 << 32) - 1, "round")
    between(len(m["last_seqs"]), 1, CHANNELS_MAX, "the number of channels")
    join_digest(m)


def check_sealed(m, _payload_size):
    between(m["round"], 1, (1 << 32) - 1, "round")


def check_end(m, _payload_size):
    between(m["rounds"], 1, (1 << 32) - 1, "rounds")
    join_digest(m)


def check_prepared(m, _payload_size):
    join_digest(m)


def check_query(m, _payload_size):
    m["session"] = exactly(m["session"], 16, "session")


def check_outcome(m, _payload_size):
    known(m["outcome"], (1, 2, 3), "outcome")
    m["text"] = text(m["text"], 1023, "text", True)


def check_nothing(_m, _payload_size):
    pass
