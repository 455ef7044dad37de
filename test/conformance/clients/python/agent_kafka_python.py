"""Drives kafka-python. Usage: agent_kafka_python.py BOOTSTRAP; commands: see agent_loop."""

import sys
import time

from agent_loop import Agent, records_of, stream, write_record
from kafka import (
    ConsumerRebalanceListener,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    TopicPartition,
)
from kafka.errors import KafkaError
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic, OffsetSpec

POLL_MS = 100
# kafka-python 3.0.12 forgets a join whose poll ended between JoinGroup and SyncGroup if the leader rejoined only
# because its metadata had changed: it then polls without partitions and heartbeats. A poll that outlasts the join
# does not come near it; with partitions assigned, joins begin otherwise.
JOIN_POLL_MS = 5_000


class Member(ConsumerRebalanceListener):
    """Tells what the member owns. Every poll's records are committed before the next, so a revocation has nothing to do."""

    def __init__(self, call, consumer):
        self._call = call
        self._consumer = consumer

    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        partitions = sorted(part.partition for part in self._consumer.assignment())
        self._call.event("assignment", partitions=partitions)


class Operations:
    def __init__(self, bootstrap):
        self._bootstrap = bootstrap

    def _producer(self, call):
        codec = call.command.get("codec", "none")
        return KafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=call["idempotent"],
            compression_type=None if codec == "none" else codec,
            linger_ms=5,
        )

    def _admin(self):
        return KafkaAdminClient(bootstrap_servers=self._bootstrap)

    def produce(self, call):
        producer = self._producer(call)
        send = sender(producer, call)
        for index, (partition, timestamp, key, value, headers) in enumerate(records_of(call["input"])):
            send(index, partition, value, key=key, headers=headers, timestamp_ms=timestamp)
        producer.flush()
        call.flush_acks()
        producer.close()
        return {"failures": call.failures}

    def stream(self, call):
        producer = self._producer(call)
        result = stream(call, sender(producer, call), producer.flush)
        producer.close()
        return result

    def consume(self, call):
        consumer = KafkaConsumer(bootstrap_servers=self._bootstrap, group_id=None)
        parts = [TopicPartition(call["topic"], index) for index in range(call["partitions"])]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        count, deadline = 0, time.monotonic() + call["timeoutMs"] / 1000
        with open(call["output"], "w", encoding="utf-8") as output:
            while count < call["count"] and time.monotonic() < deadline:
                count += write_polled(output, consumer.poll(POLL_MS, max_records=5000))
        consumer.close()
        return {"count": count}

    def join(self, call):
        consumer = KafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=call["group"],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            heartbeat_interval_ms=500,
        )
        consumer.subscribe([call["topic"]], listener=Member(call, consumer))
        count, is_committed = 0, True
        with open(call["output"], "w", encoding="utf-8") as output:
            while not (call.stopped.is_set() and is_committed):
                poll_ms = POLL_MS if consumer.assignment() else JOIN_POLL_MS
                received = write_polled(output, consumer.poll(poll_ms))
                if received:
                    output.flush()
                    is_committed = False
                    count += received
                    call.event("received", count=count)
                is_committed = is_committed or commit(consumer)
        consumer.close(autocommit=False)
        return {"count": count}

    def create_topic(self, call):
        topic = NewTopic(call["topic"], call["partitions"], 1, topic_configs=call["configs"])
        with_admin(self._admin(), lambda admin: admin.create_topics([topic]))

    def create_partitions(self, call):
        wanted = {call["topic"]: NewPartitions(call["total"])}
        with_admin(self._admin(), lambda admin: admin.create_partitions(wanted))

    def describe_topic(self, call):
        topics = with_admin(self._admin(), lambda admin: admin.describe_topics([call["topic"]]))
        return {"partitions": len(topics[0]["partitions"])}

    def list_topics(self, _call):
        return {"topics": with_admin(self._admin(), lambda admin: admin.list_topics())}

    def describe_configs(self, call):
        resource = ConfigResource(ConfigResourceType.TOPIC, call["topic"])
        found = with_admin(
            self._admin(), lambda admin: admin.describe_configs([resource], config_filter="all")
        )
        entries = found["topic"][call["topic"]]
        return {"configs": {name: entry["value"] for name, entry in entries.items()}}

    def alter_configs(self, call):
        changes = {name: (op, value) for name, op, value in call["changes"]}
        resource = ConfigResource(ConfigResourceType.TOPIC, call["topic"], changes)
        altered = with_admin(
            self._admin(), lambda admin: admin.alter_configs([resource], incremental=call["incremental"])
        )
        if "OK" not in str(altered["topic"][call["topic"]]):
            raise ValueError(f"alter_configs answered {altered}")

    def delete_topic(self, call):
        with_admin(self._admin(), lambda admin: admin.delete_topics([call["topic"]]))

    def delete_records(self, call):
        before = {TopicPartition(call["topic"], call["partition"]): call["before"]}
        with_admin(self._admin(), lambda admin: admin.delete_records(before))

    def list_offsets(self, call):
        part = TopicPartition(call["topic"], call["partition"])
        named = {
            "earliest": OffsetSpec.EARLIEST,
            "latest": OffsetSpec.LATEST,
            "max": OffsetSpec.MAX_TIMESTAMP,
        }
        at = named.get(call["at"], call["at"])
        found = with_admin(self._admin(), lambda admin: admin.list_partition_offsets({part: at}))
        return {"offset": found[part].offset, "timestampMs": found[part].timestamp}

    def committed(self, call):
        parts = [TopicPartition(call["topic"], index) for index in range(call["partitions"])]
        group = call["group"]
        found = with_admin(self._admin(), lambda admin: admin.list_group_offsets({group: parts}))
        return {"offsets": [found[group][part].offset for part in parts]}

    def list_groups(self, _call):
        groups = with_admin(self._admin(), lambda admin: admin.list_groups())
        return {"groups": [group["group_id"] for group in groups]}

    def describe_group(self, call):
        found = with_admin(self._admin(), lambda admin: admin.describe_groups([call["group"]]))
        group = found[call["group"]]
        return {"state": group["group_state"], "members": len(group["members"])}

    def delete_group(self, call):
        result = with_admin(self._admin(), lambda admin: admin.delete_groups([call["group"]]))
        print(result, file=sys.stderr)


def with_admin(admin, work):
    try:
        return work(admin)
    finally:
        admin.close()


def commit(consumer):
    """Whether it worked. While the broker is away, and in a rebalance, a later try takes its place."""
    try:
        consumer.commit()
        return True
    except KafkaError as error:
        print(f"commit: {error}", file=sys.stderr)
        time.sleep(POLL_MS / 1000)
        return False


def sender(producer, call):
    topic = call["topic"]

    def send(index, partition, value, **fields):
        future = producer.send(topic, value=value, partition=partition, **fields)
        future.add_callback(lambda sent: call.acked(index, sent.partition, sent.offset))
        future.add_errback(lambda error: call.failed(index, error))

    return send


def write_polled(output, polled):
    count = 0
    for records in polled.values():
        for record in records:
            write_record(
                output,
                record.partition,
                record.offset,
                record.timestamp,
                record.key,
                record.value,
                record.headers,
            )
        count += len(records)
    return count


Agent(Operations(sys.argv[1])).serve()
