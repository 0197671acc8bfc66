# SPDX-License-Identifier: Apache-2.0
"""Memory as a stream builds it up: page hashes and their digest."""

import ctypes
import struct

import xxhash

from .messages import PAGE, ZERO, ZSTD
from .wire import must, xxh3

MASK128 = (1 << 128) - 1


class NoZstd(Exception):
    """This host lacks libzstd."""


class Zstd:
    """The three functions of libzstd that are needed; loaded when the first ZSTD run is met."""

    def __init__(self):
        try:
            lib = ctypes.CDLL("libzstd.so.1")
        except OSError:
            raise NoZstd from None
        for name in ("ZSTD_findFrameCompressedSize", "ZSTD_decompress", "ZSTD_isError"):
            getattr(lib, name).restype = ctypes.c_size_t
        lib.ZSTD_isError.restype = ctypes.c_uint
        lib.ZSTD_isError.argtypes = [ctypes.c_size_t]
        lib.ZSTD_findFrameCompressedSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        lib.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t,
                                        ctypes.c_char_p, ctypes.c_size_t]
        self.lib = lib

    def decompress(self, data, size):
        """Exactly one frame that yields exactly `size` bytes."""
        frame = self.lib.ZSTD_findFrameCompressedSize(data, len(data))
        must(not self.lib.ZSTD_isError(frame) and frame == len(data), "zstd-frame",
             "a ZSTD run is not exactly one zstd frame")
        out = ctypes.create_string_buffer(size)
        got = self.lib.ZSTD_decompress(out, size, data, len(data))
        must(not self.lib.ZSTD_isError(got), "zstd-data",
             "a ZSTD run is damaged, or yields too many bytes")
        must(got == size, "zstd-size", f"a ZSTD run yields {got} bytes instead of {size}")
        return out.raw


class Memory:
    """Hashes of all pages that are not zero, and their digest."""

    def __init__(self, regions):
        self.limits = [region["size"] // PAGE for region in regions]
        self.hashes = [{} for _ in regions]
        self.digest = 0
        self.zstd = None

    @staticmethod
    def term(object_number, page, value):
        if value == 0:
            return 0
        return xxhash.xxh3_128_intdigest(struct.pack("<QQQ", object_number, page, value))

    def page_hashes(self, run, data):
        if run.encoding == ZERO:
            return [0] * run.count
        if run.encoding == ZSTD:
            self.zstd = self.zstd or Zstd()
            data = self.zstd.decompress(data, run.count * PAGE)
        zeros = bytes(PAGE)
        pages = (data[at:at + PAGE] for at in range(0, len(data), PAGE))
        return [0 if page == zeros else xxh3(page) or 1 for page in pages]

    def apply(self, frame, touched):
        """Applies PAGES. `touched` has the (object, page) that this round brought already."""
        object_number = frame.message["object"]
        must(object_number < len(self.limits), "pages-object",
             f"PAGES has object {object_number}, of {len(self.limits)}")
        at, every = 0, []
        for run in frame.message["runs"]:
            must(run.first + run.count <= self.limits[object_number], "pages-region",
                 f"a run of PAGES ends at page {run.first + run.count} of an object of "
                 f"{self.limits[object_number]}")
            hashes = self.page_hashes(run, frame.payload[at:at + run.bytes])
            at += run.bytes
            every += hashes
            for page, value in enumerate(hashes, run.first):
                must((object_number, page) not in touched, "page-twice",
                     f"page {page} of object {object_number} comes twice in one round")
                touched.add((object_number, page))
                self.replace(object_number, page, value)
        must(frame.payload_sum == xxh3(struct.pack(f"<{len(every)}Q", *every)), "pages-checksum",
             "the checksum of PAGES' page hashes is wrong")

    def replace(self, object_number, page, value):
        old = self.hashes[object_number].pop(page, 0)
        if value:
            self.hashes[object_number][page] = value
        change = self.term(object_number, page, value) - self.term(object_number, page, old)
        self.digest = (self.digest + change) & MASK128
