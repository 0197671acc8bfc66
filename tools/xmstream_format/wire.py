# SPDX-License-Identifier: Apache-2.0
"""What lies below messages: broken rules, checksums and protobuf.

protobuf is read by hand, so that nothing generated is trusted.
"""

import struct

import xxhash

class Broken(Exception):
    """A rule of the specification is broken. `rule` is a short name that tests rely on."""

    def __init__(self, rule, text):
        super().__init__(text)
        self.rule = rule
        self.frame = None  # its number in the file, from 1; None: the stream header
        self.offset = 0  # of that frame


def must(condition, rule, text):
    if not condition:
        raise Broken(rule, text)


def xxh3(data):
    return xxhash.xxh3_64_intdigest(data)


def varint(data, at):
    value = shift = 0
    while True:
        must(at < len(data) and shift < 70, "protobuf", "the body is not a protobuf message")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value & (1 << 64) - 1, at


def fields(data):
    """Yields (number, wire type, value) of each field."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        must(0 < number < 1 << 29, "protobuf", "the body is not a protobuf message")
        if wire == 0:
            value, at = varint(data, at)
        elif wire in (1, 2, 5):
            length = {1: 8, 5: 4}.get(wire)
            if wire == 2:
                length, at = varint(data, at)
            must(length <= len(data) - at, "protobuf", "the body is cut off inside a field")
            value = data[at:at + length]
            at += length
        else:
            raise Broken("protobuf", "the body is not a protobuf message")
        yield number, wire, value


def signed32(value):
    value &= (1 << 32) - 1
    return value - (1 << 32) if value >> 31 else value


SCALARS = {
    "u32": lambda value: value & (1 << 32) - 1,
    "u64": lambda value: value,
    "enum": signed32,
    "bool": lambda value: value != 0,
}


def parse(schema, data):
    """`schema` maps field numbers to (name, type); a type in a list is repeated.

    Unknown fields are skipped.
    """
    message = {name: [] if isinstance(kind, list) else
               b"" if kind == "bytes" else False if kind == "bool" else 0
               for name, kind in schema.values()}
    for number, wire, value in fields(data):
        if number not in schema:
            continue
        name, kind = schema[number]
        one = kind[0] if isinstance(kind, list) else kind
        if isinstance(one, dict):
            must(wire == 2, "protobuf", f"field {name} has wire type {wire}")
            message[name].append(parse(one, value))
        elif one == "bytes":
            must(wire == 2, "protobuf", f"field {name} has wire type {wire}")
            message[name] = value
        elif one == "fixed64":
            must(wire == 1, "protobuf", f"field {name} has wire type {wire}")
            message[name] = struct.unpack("<Q", value)[0]
        elif isinstance(kind, list) and wire == 2:
            at = 0
            while at < len(value):
                item, at = varint(value, at)
                message[name].append(SCALARS[one](item))
        else:
            must(wire == 0, "protobuf", f"field {name} has wire type {wire}")
            item = SCALARS[one](value)
            if isinstance(kind, list):
                message[name].append(item)
            else:
                message[name] = item
    return message
