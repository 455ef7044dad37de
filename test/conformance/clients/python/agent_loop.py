"""The loop that both Python agents share.

Commands arrive as JSON lines, `{"id", "op", ...}`, on standard input; each runs in a thread of its own. Answers
leave as JSON lines: any number of `{"id", "event", ...}`, then one `{"id", "result"}` or `{"id", "error"}`.
What an agent does with a record is to carry it: it decides nothing about right and wrong.
"""

import base64
import json
import sys
import threading
import time
import traceback

ACKS_PER_LINE = 200
STREAM_CHUNK = 50
STREAM_PAUSE_S = 0.025


class Call:
    """One running command: where its events go, and whether it was asked to stop."""

    def __init__(self, agent, command):
        self.command = command
        self.stopped = threading.Event()
        self._agent = agent
        self._acks = []
        self._acks_lock = threading.Lock()
        self.failures = []

    def __getitem__(self, name):
        return self.command[name]

    def event(self, event, **fields):
        self._agent.write({"id": self.command["id"], "event": event, **fields})

    def acked(self, index, partition, offset):
        """Reports an acknowledgement; several share a line."""
        with self._acks_lock:
            self._acks.append([index, partition, offset])
            if len(self._acks) < ACKS_PER_LINE:
                return
        self.flush_acks()

    def flush_acks(self):
        with self._acks_lock:
            acks, self._acks = self._acks, []
        if acks:
            self.event("acks", acks=acks)

    def failed(self, index, error):
        self.failures.append([index, str(error) or repr(error)])


class Agent:
    def __init__(self, operations):
        self._operations = operations
        self._calls = {}
        self._lock = threading.Lock()

    def write(self, line):
        text = json.dumps(line, separators=(",", ":")) + "\n"
        with self._lock:
            sys.stdout.write(text)
            sys.stdout.flush()

    def serve(self):
        for line in sys.stdin:
            command = json.loads(line)
            if command["op"] == "stop":
                self._calls[command["target"]].stopped.set()
                self.write({"id": command["id"], "result": {}})
                continue
            call = Call(self, command)
            self._calls[command["id"]] = call
            threading.Thread(target=self._run, args=(call,), daemon=True).start()

    def _run(self, call):
        operation = getattr(self._operations, snake(call["op"]), None)
        identity = call["id"]
        if operation is None:
            self.write({"id": identity, "result": {"unsupported": True}})
            return
        try:
            self.write({"id": identity, "result": operation(call) or {}})
        except Exception as error:  # Whatever a client throws is the answer.
            traceback.print_exc()
            self.write({"id": identity, "error": f"{type(error).__name__}: {error}"})


def snake(name):
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def bytes_of(text):
    return None if text is None else base64.b64decode(text)


def text_of(octets):
    return None if octets is None else base64.b64encode(octets).decode("ascii")


def records_of(path):
    """The records to send: `{"p", "t", "k", "v", "h"}` a line, bytes in base64."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            headers = [(key, bytes_of(value)) for key, value in record["h"]]
            yield record["p"], record["t"], bytes_of(record["k"]), bytes_of(record["v"]), headers


def write_record(output, partition, offset, timestamp, key, value, headers):
    """One received record, in the form of `records_of` with its offset."""
    record = {
        "p": partition,
        "o": offset,
        "t": timestamp,
        "k": text_of(key),
        "v": text_of(value),
        "h": [[name, text_of(content)] for name, content in headers or []],
    }
    output.write(json.dumps(record, separators=(",", ":")) + "\n")


def stream(call, send, flush):
    """Sends numbered records at a steady pace until stopped. `send(index, partition, value)`."""
    index = 0
    while not call.stopped.is_set():
        for _ in range(STREAM_CHUNK):
            send(index, index % call["partitions"], str(index).encode())
            index += 1
        call.flush_acks()
        time.sleep(STREAM_PAUSE_S)
    flush()
    call.flush_acks()
    return {"sent": index, "failures": call.failures}
