# SPDX-License-Identifier: Apache-2.0
"""The stream header and the frames of a file."""

import collections
import re
import struct

from . import messages
from .messages import CHANNELS_MAX, KIB, MIB
from .wire import must, parse, xxh3

Type = collections.namedtuple("Type", "name body payload check")
TYPES = {
    1: Type("HELLO", KIB, 0, messages.check_hello),
    2: Type("STATIC", MIB, 16 * MIB, messages.check_static),
    3: Type("STATE", 64 * KIB, 16 * MIB, messages.check_state),
    4: Type("READY", KIB, 0, messages.check_nothing),
    5: Type("REFUSE", 2 * KIB, 0, messages.check_failure),
    6: Type("PAGES", 128 * KIB, 16 * MIB, messages.check_pages),
    7: Type("SEAL", KIB, 0, messages.check_seal),
    8: Type("SEALED", KIB, 0, messages.check_sealed),
    9: Type("END", KIB, 0, messages.check_end),
    10: Type("PREPARED", KIB, 0, messages.check_prepared),
    11: Type("COMMIT", KIB, 0, messages.check_nothing),
    12: Type("COMMITTED", KIB, 0, messages.check_nothing),
    13: Type("ABORT", 2 * KIB, 0, messages.check_failure),
    14: Type("QUERY", KIB, 0, messages.check_query),
    15: Type("OUTCOME", 2 * KIB, 0, messages.check_outcome),
}
UNKNOWN = Type(None, MIB, 16 * MIB, None)
MANDATORY = 1

STREAM_HEADER = struct.Struct("<8sHHI32s12sI")
FRAME_HEADER = struct.Struct("<4sHHHHIIIQQQ")


class Frame:
    """One frame: its header's fields, and for a known type `message` (a dict) and `payload`."""

    def __init__(self, raw):
        (self.magic, self.type, self.flags, self.channel, _, self.body_size, self.payload_size,
         self.header_sum, self.seq, self.body_sum, self.payload_sum) = FRAME_HEADER.unpack(raw)
        self.message = self.payload = None
        must(self.magic == b"XMFR", "frame-magic", "no frame begins here")
        must(self.header_sum == xxh3(raw[:20] + bytes(4) + raw[24:]) & 0xFFFFFFFF, "frame-checksum",
             "the header's checksum is wrong")
        must(self.type != 0, "frame-type", "the type is 0")
        must(self.channel <= CHANNELS_MAX, "frame-channel", f"the channel is {self.channel}")
        must(not self.flags & 0xFF00, "frame-flags", f"flags {self.flags:#06x} are not known")
        self.info = TYPES.get(self.type, UNKNOWN)
        self.name = self.info.name or f"type {self.type}"
        must(self.info.name or not self.flags & MANDATORY, "frame-mandatory",
             f"type {self.type} is not known and may not be skipped")
        must(self.body_size <= self.info.body, "body-cap",
             f"the body has {self.body_size} bytes, more than {self.info.body}")
        must(self.payload_size <= self.info.payload, "payload-cap",
             f"the payload has {self.payload_size} bytes, more than {self.info.payload}")


class Reader:
    """Frames of a file, in order. Keeps where it is, so that every complaint says so."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.offset = 0
        self.frame = None
        self.seqs = [0] * (CHANNELS_MAX + 1)

    def take(self, size, what):
        data = self.file.read(size)
        must(len(data) == size, "truncated", f"the file ends inside {what}")
        return data

    def header(self):
        raw = self.take(STREAM_HEADER.size, "the stream header")
        magic, major, minor, order, producer, _, checksum = STREAM_HEADER.unpack(raw)
        must(magic == b"XMSTREAM", "stream-magic", "the file does not begin with XMSTREAM")
        must(order == 0x01020304, "byte-order", f"the byte order mark is {order:#010x}")
        must(checksum == xxh3(raw[:60]) & 0xFFFFFFFF, "stream-checksum",
             "the stream header's checksum is wrong")
        must(major == 1, "version", f"version {major}.{minor} is not read, only 1.x")
        must(re.fullmatch(rb"[\x20-\x7e]*\0*", producer), "producer",
             "the producer is not plain text")
        self.offset = len(raw)
        return {"version": f"{major}.{minor}", "producer": producer.rstrip(b"\0").decode("ascii")}

    def frames(self):
        """Yields each frame; unknown ones that may be skipped have no message."""
        while True:
            self.frame = (self.frame or 0) + 1
            raw = self.file.read(FRAME_HEADER.size)
            if not raw:
                return
            must(len(raw) == FRAME_HEADER.size, "truncated", "the file ends inside a frame header")
            frame = Frame(raw)
            frame.offset, frame.number = self.offset, self.frame
            self.read_body(frame)
            yield frame
            self.offset += len(raw) + frame.body_size + frame.payload_size

    def read_body(self, frame):
        self.seqs[frame.channel] += 1
        must(frame.seq == self.seqs[frame.channel], "sequence",
             f"{frame.name} has sequence number {frame.seq} on channel {frame.channel} "
             f"instead of {self.seqs[frame.channel]}")
        body = self.take(frame.body_size, f"the body of {frame.name}")
        payload = self.take(frame.payload_size, f"the payload of {frame.name}")
        if not frame.info.name:
            return
        if frame.name == "PAGES":
            must(frame.channel > 0, "channel", "PAGES is on the control channel")
        else:
            must(frame.channel == 0, "channel", f"{frame.name} is on channel {frame.channel}")
            must(frame.payload_sum == xxh3(payload), "payload-checksum",
                 f"the checksum of {frame.name}'s payload is wrong")
        must(frame.body_sum == xxh3(body), "body-checksum",
             f"the checksum of {frame.name}'s body is wrong")
        frame.message = parse(messages.SCHEMAS[frame.name], body)
        frame.info.check(frame.message, frame.payload_size)
        frame.payload = payload
