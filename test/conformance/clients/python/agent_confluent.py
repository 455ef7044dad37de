"""Drives confluent-kafka (librdkafka). Usage: agent_confluent.py BOOTSTRAP; commands: see agent_loop."""

import sys
import threading
import time

from agent_loop import Agent, records_of, stream, write_record
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

POLL_S = 0.1
BATCH = 2000


class Operations:
    def __init__(self, bootstrap):
        self._bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def _producer(self, call):
        return Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "acks": "all",
                "enable.idempotence": call["idempotent"],
                "compression.type": call.command.get("codec", "none"),
                "linger.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
            }
        )

    def _consumer(self, **settings):
        return Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "check.crcs": True,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                **settings,
            }
        )

    def produce(self, call):
        producer = self._producer(call)
        send = sender(producer, call)
        for index, (partition, timestamp, key, value, headers) in enumerate(records_of(call["input"])):
            send(index, partition, value, key=key, headers=headers, timestamp=timestamp)
            producer.poll(0)
        producer.flush()
        call.flush_acks()
        return {"failures": call.failures}

    def stream(self, call):
        producer = self._producer(call)
        done = threading.Event()
        poller = threading.Thread(target=poll_until, args=(producer, done), daemon=True)
        poller.start()
        result = stream(call, sender(producer, call), producer.flush)
        done.set()
        poller.join()
        return result

    def consume(self, call):
        consumer = self._consumer(**{"group.id": f"unused-{call['id']}"})
        parts = [TopicPartition(call["topic"], index, 0) for index in range(call["partitions"])]
        consumer.assign(parts)
        count, deadline = 0, time.monotonic() + call["timeoutMs"] / 1000
        with open(call["output"], "w", encoding="utf-8") as output:
            while count < call["count"] and time.monotonic() < deadline:
                count += write_consumed(output, consumer.consume(BATCH, POLL_S))
        consumer.close()
        return {"count": count}

    def join(self, call):
        consumer = self._consumer(
            **{
                "group.id": call["group"],
                "heartbeat.interval.ms": 500,
                "topic.metadata.refresh.interval.ms": 1000,
            }
        )
        def assigned(_consumer, partitions):
            call.event("assignment", partitions=sorted(part.partition for part in partitions))

        consumer.subscribe([call["topic"]], on_assign=assigned)
        count, is_committed = 0, True
        with open(call["output"], "w", encoding="utf-8") as output:
            while not (call.stopped.is_set() and is_committed):
                received = write_consumed(output, consumer.consume(BATCH, POLL_S))
                if received:
                    output.flush()
                    is_committed = False
                    count += received
                    call.event("received", count=count)
                is_committed = is_committed or commit(consumer)
        consumer.close()
        return {"count": count}

    def create_topic(self, call):
        topic = NewTopic(call["topic"], call["partitions"], 1, config=call["configs"])
        await_all(self._admin.create_topics([topic]))

    def create_partitions(self, call):
        wanted = NewPartitions(call["topic"], call["total"])
        await_all(self._admin.create_partitions([wanted]))

    def describe_topic(self, call):
        metadata = self._admin.list_topics(call["topic"], timeout=10).topics[call["topic"]]
        if metadata.error:
            raise KafkaException(metadata.error)
        return {"partitions": len(metadata.partitions)}

    def list_topics(self, _call):
        return {"topics": list(self._admin.list_topics(timeout=10).topics)}

    def describe_configs(self, call):
        resource = ConfigResource(ResourceType.TOPIC, call["topic"])
        found = await_all(self._admin.describe_configs([resource]))
        return {"configs": {name: entry.value for name, entry in found.items()}}

    def delete_topic(self, call):
        await_all(self._admin.delete_topics([call["topic"]], operation_timeout=10))

    def delete_records(self, call):
        before = TopicPartition(call["topic"], call["partition"], call["before"])
        # A client of its own, as for the offsets.
        admin = AdminClient({"bootstrap.servers": self._bootstrap})
        await_all(admin.delete_records([before]))

    def list_offsets(self, call):
        at = call["at"]
        named = {
            "earliest": OffsetSpec.earliest,
            "latest": OffsetSpec.latest,
            "max": OffsetSpec.max_timestamp,
        }
        spec = named[at]() if at in named else OffsetSpec.for_timestamp(at)
        part = TopicPartition(call["topic"], call["partition"])
        # A client of its own: an older one asks with the leader epoch of before a restart, and is refused.
        admin = AdminClient({"bootstrap.servers": self._bootstrap})
        found = await_all(admin.list_offsets({part: spec}))
        return {"offset": found.offset, "timestampMs": found.timestamp}

    def committed(self, call):
        parts = [TopicPartition(call["topic"], index) for index in range(call["partitions"])]
        wanted = ConsumerGroupTopicPartitions(call["group"], parts)
        found = await_all(self._admin.list_consumer_group_offsets([wanted]))
        return {"offsets": [part.offset for part in found.topic_partitions]}

    def list_groups(self, _call):
        found = self._admin.list_consumer_groups().result()
        return {"groups": [group.group_id for group in found.valid]}

    def describe_group(self, call):
        found = await_all(self._admin.describe_consumer_groups([call["group"]]))
        return {"state": state_name(found.state.name), "members": len(found.members)}

    def delete_group(self, call):
        await_all(self._admin.delete_consumer_groups([call["group"]]))


def state_name(name):
    """STABLE or PREPARING_REBALANCING, as the other clients write it."""
    return "".join(word.capitalize() for word in name.split("_"))


def await_all(futures):
    """The result of the only future of an admin call."""
    (future,) = futures.values()
    return future.result()


def poll_until(producer, done):
    while not done.is_set():
        producer.poll(POLL_S)


def sender(producer, call):
    topic = call["topic"]

    def send(index, partition, value, **fields):
        def delivered(error, message):
            if error:
                call.failed(index, error)
            else:
                call.acked(index, message.partition(), message.offset())

        producer.produce(topic, value=value, partition=partition, on_delivery=delivered, **fields)

    return send


def commit(consumer):
    """Whether it worked. While the broker is away, and in a rebalance, a later try takes its place."""
    try:
        consumer.commit(asynchronous=False)
        return True
    except KafkaException as error:
        print(f"commit: {error}", file=sys.stderr)
        return False


def write_consumed(output, messages):
    """Errors between the records are the library's reports of what it is about to try again."""
    count = 0
    for message in messages:
        if message.error():
            print(message.error(), file=sys.stderr)
            continue
        write_record(
            output,
            message.partition(),
            message.offset(),
            message.timestamp()[1],
            message.key(),
            message.value(),
            message.headers(),
        )
        count += 1
    return count


Agent(Operations(sys.argv[1])).serve()
