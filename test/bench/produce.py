"""Produces with kafka-python as fast as it can, acks=all.

Usage: produce.py BOOTSTRAP TOPIC RECORDS RECORD_BYTES LINGER_MS BATCH_BYTES
Prints {"records": acknowledged, "seconds": from the first send to the last acknowledgement}.
"""

import json
import random
import string
import sys
import time

from kafka import KafkaProducer


def main(bootstrap, topic, count, record_bytes, linger_ms, batch_bytes):
    value = "".join(random.Random(1).choices(string.ascii_uppercase, k=record_bytes)).encode()
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, acks="all", linger_ms=linger_ms, batch_size=batch_bytes
    )
    acknowledged = 0

    def on_ack(_metadata):
        nonlocal acknowledged
        acknowledged += 1

    producer.partitions_for(topic)
    started = time.perf_counter()
    for _ in range(count):
        producer.send(topic, value).add_callback(on_ack)
    producer.flush()
    seconds = time.perf_counter() - started
    producer.close()
    print(json.dumps({"records": acknowledged, "seconds": seconds}))


main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:7]))
