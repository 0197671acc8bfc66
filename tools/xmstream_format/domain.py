# SPDX-License-Identifier: Apache-2.0
"""A saved domain: the order of frames, rounds, seals and the end."""

from .frames import Reader
from .memory import Memory
from .messages import SAVE, TRIAL
from .wire import Broken, must

class SavedDomain:
    """Reads a whole file and holds it to every rule of the specification."""

    def __init__(self, path):
        self.hello = self.static = self.trial = self.memory = None
        self.final = self.seal = self.end = None
        self.rounds = 0
        self.last_seqs = []
        self.start_round()
        self.reader = Reader(path)
        with self.reader.file:
            try:
                self.header = self.reader.header()
                for frame in self.reader.frames():
                    if frame.message is not None:
                        self.take(frame)
                must(self.end, "no-end", "the file ends before END: its writer did not finish")
            except Broken as broken:
                broken.frame, broken.offset = self.reader.frame, self.reader.offset
                raise

    def start_round(self):
        self.touched, self.pages, self.payload_bytes = set(), 0, 0

    def take(self, frame):
        must(not self.end, "after-end", f"{frame.name} follows END")
        handler = getattr(self, "take_" + frame.name.lower(), None)
        must(handler, "order", f"{frame.name} is in no file")
        must(self.hello or frame.name == "HELLO", "order", f"{frame.name} comes before HELLO")
        handler(frame)

    def take_hello(self, frame):
        must(not self.hello, "order", "there is a second HELLO")
        must(frame.message["purpose"] == SAVE, "purpose", "HELLO's purpose is not SAVE")
        self.hello = frame.message
        self.last_seqs = [0] * self.hello["channels"]

    def take_static(self, frame):
        must(not self.static, "order", "there is a second STATIC")
        self.static = frame.message
        self.static_payload = frame.payload
        total = sum(region["size"] for region in self.static["regions"])
        must(total == self.hello["memory_bytes"], "memory-bytes",
             f"the regions have {total} bytes, HELLO says {self.hello['memory_bytes']}")
        self.memory = Memory(self.static["regions"])

    def take_state(self, frame):
        must(self.static, "order", "STATE comes before STATIC")
        if frame.message["purpose"] == TRIAL:
            must(not self.trial, "order", "there is a second STATE (TRIAL)")
            self.trial = frame.message
            return
        must(self.trial, "order", "STATE (FINAL) comes before STATE (TRIAL)")
        must(self.seal and self.seal["final"], "order", "STATE (FINAL) comes before the final SEAL")
        must(not self.final, "order", "there is a second STATE (FINAL)")
        self.final = frame.message
        self.final_payload = frame.payload

    def take_pages(self, frame):
        must(self.trial, "order", "PAGES comes before STATE (TRIAL)")
        must(not (self.seal and self.seal["final"]), "after-final", "PAGES follows the final SEAL")
        must(frame.channel <= self.hello["channels"], "channel",
             f"PAGES is on channel {frame.channel} of {self.hello['channels']}")
        must(frame.message["round"] == self.rounds + 1, "pages-round",
             f"PAGES is of round {frame.message['round']} in round {self.rounds + 1}")
        self.memory.apply(frame, self.touched)
        self.pages += sum(run.count for run in frame.message["runs"])
        self.payload_bytes += frame.payload_size
        self.last_seqs[frame.channel - 1] = frame.seq

    def take_seal(self, frame):
        seal = frame.message
        must(self.trial, "order", "SEAL comes before STATE (TRIAL)")
        must(not (self.seal and self.seal["final"]), "after-final", "SEAL follows the final SEAL")
        must(seal["round"] == self.rounds + 1, "seal-round",
             f"SEAL is of round {seal['round']} instead of {self.rounds + 1}")
        must(len(seal["last_seqs"]) == self.hello["channels"], "seal-channels",
             f"SEAL names {len(seal['last_seqs'])} channels, HELLO {self.hello['channels']}")
        must(seal["last_seqs"] == self.last_seqs, "seal-seqs",
             f"SEAL names the last frames {seal['last_seqs']}, they are {self.last_seqs}")
        must(seal["pages"] == self.pages, "seal-pages",
             f"SEAL says {seal['pages']} pages, there were {self.pages}")
        must(seal["payload_bytes"] == self.payload_bytes, "seal-bytes",
             f"SEAL says {seal['payload_bytes']} bytes, there were {self.payload_bytes}")
        must(seal["digest"] == self.memory.digest, "seal-digest",
             f"SEAL says digest {seal['digest']:032x}, memory has {self.memory.digest:032x}")
        self.seal = seal
        self.rounds += 1
        self.start_round()

    def take_end(self, frame):
        must(self.final, "order", "END comes before STATE (FINAL)")
        must(frame.message["rounds"] == self.rounds, "end-rounds",
             f"END says {frame.message['rounds']} rounds, there were {self.rounds}")
        must(frame.message["digest"] == self.seal["digest"], "end-digest",
             "END's digest is not the last SEAL's")
        self.end = frame.message

    def summary(self):
        return {
            "valid": True, "version": self.header["version"], "producer": self.header["producer"],
            "name": self.hello["name"], "uuid": self.hello["uuid"],
            "session": self.hello["session"], "memory_bytes": self.hello["memory_bytes"],
            "vcpus": self.hello["vcpus"], "live": self.hello["live"],
            "paused": self.end["paused"], "rounds": self.rounds,
            "frames": self.reader.frame - 1,
            "nonzero_pages": sum(len(hashes) for hashes in self.memory.hashes),
            "digest": f"{self.memory.digest:032x}",
            "sections": len(self.final["sections"]),
        }
