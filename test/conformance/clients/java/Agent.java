import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Drives Apache Kafka's Java client and its console tools. Usage: Agent BOOTSTRAP; commands: see AgentLoop. */
public final class Agent {
    private static final Duration POLL = Duration.ofMillis(100);
    private static final int STREAM_CHUNK = 50;
    private static final int STREAM_PAUSE_MS = 25;
    private final String bootstrap;

    private Agent(String bootstrap) { this.bootstrap = bootstrap; }

    public static void main(String[] args) throws Exception {
        Agent agent = new Agent(args[0]);
        Map<String, AgentLoop.Operation> operations = new HashMap<>(new AdminOperations(args[0]).all());
        operations.put("produce", agent::produce);
        operations.put("stream", agent::stream);
        operations.put("consume", agent::consume);
        operations.put("join", agent::join);
        operations.put("tool", ConsoleTools::run);
        AgentLoop.serve(operations);
    }

    private KafkaProducer<byte[], byte[]> producer(AgentLoop.Call call) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("acks", "all");
        settings.put("enable.idempotence", call.command.path("idempotent").asBoolean());
        settings.put("compression.type", call.command.path("codec").asText("none"));
        settings.put("linger.ms", 5);
        settings.put("max.block.ms", 60000);
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(more);
        settings.put("bootstrap.servers", bootstrap);
        settings.put("enable.auto.commit", false);
        settings.put("auto.offset.reset", "earliest");
        settings.put("check.crcs", true);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private ObjectNode produce(AgentLoop.Call call) throws Exception {
        int index = 0;
        try (KafkaProducer<byte[], byte[]> producer = producer(call);
             BufferedReader lines = Files.newBufferedReader(Path.of(call.text("input")))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                JsonNode record = AgentLoop.JSON.readTree(line);
                List<Header> headers = new ArrayList<>();
                for (JsonNode header : record.path("h")) headers.add(new RecordHeader(header.get(0).asText(), bytes(header.get(1))));
                send(producer, call, index++, new ProducerRecord<>(call.text("topic"), record.path("p").asInt(),
                    record.path("t").asLong(), bytes(record.path("k")), bytes(record.path("v")), headers));
            }
            producer.flush();
        }
        call.flushAcks();
        return call.sent(index);
    }

    private ObjectNode stream(AgentLoop.Call call) throws Exception {
        int index = 0;
        try (KafkaProducer<byte[], byte[]> producer = producer(call)) {
            while (!call.stopped) {
                for (int end = index + STREAM_CHUNK; index < end; index++) {
                    byte[] value = String.valueOf(index).getBytes();
                    send(producer, call, index, new ProducerRecord<>(call.text("topic"), index % call.number("partitions"), null, value));
                }
                call.flushAcks();
                Thread.sleep(STREAM_PAUSE_MS);
            }
            producer.flush();
        }
        call.flushAcks();
        return call.sent(index);
    }

    private static void send(KafkaProducer<byte[], byte[]> producer, AgentLoop.Call call, int index, ProducerRecord<byte[], byte[]> record) {
        producer.send(record, (metadata, error) -> {
            if (error == null) call.acked(index, metadata.partition(), metadata.offset());
            else call.failed(index, error);
        });
    }

    private ObjectNode consume(AgentLoop.Call call) throws Exception {
        List<TopicPartition> partitions = IntStream.range(0, call.number("partitions"))
            .mapToObj(index -> new TopicPartition(call.text("topic"), index)).toList();
        int count = 0;
        long deadline = System.currentTimeMillis() + call.number("timeoutMs");
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of("max.poll.records", 5000));
             BufferedWriter output = Files.newBufferedWriter(Path.of(call.text("output")))) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            while (count < call.number("count") && System.currentTimeMillis() < deadline) count += write(output, consumer.poll(POLL));
        }
        return AgentLoop.JSON.createObjectNode().put("count", count);
    }

    private ObjectNode join(AgentLoop.Call call) throws Exception {
        Map<String, Object> settings = Map.of("group.id", call.text("group"), "heartbeat.interval.ms", 500,
            "partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor");
        int count = 0;
        boolean committed = true;
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(settings);
             BufferedWriter output = Files.newBufferedWriter(Path.of(call.text("output")))) {
            consumer.subscribe(List.of(call.text("topic")), new Listener(call, consumer));
            while (!call.stopped || !committed) {
                int received = write(output, consumer.poll(POLL));
                if (received > 0) {
                    output.flush();
                    committed = false;
                    count += received;
                    call.event("received", "count", AgentLoop.JSON.getNodeFactory().numberNode(count));
                }
                committed = committed || commit(consumer);
            }
        }
        return AgentLoop.JSON.createObjectNode().put("count", count);
    }

    /** Tells what the member owns. Every poll's records are committed before the next one. */
    private record Listener(AgentLoop.Call call, KafkaConsumer<byte[], byte[]> consumer) implements ConsumerRebalanceListener {
        public void onPartitionsRevoked(Collection<TopicPartition> revoked) { }

        public void onPartitionsAssigned(Collection<TopicPartition> assigned) {
            ArrayNode partitions = AgentLoop.JSON.createArrayNode();
            TreeSet<Integer> owned = new TreeSet<>();
            for (TopicPartition partition : consumer.assignment()) owned.add(partition.partition());
            owned.forEach(partitions::add);
            call.event("assignment", "partitions", partitions);
        }
    }

    /** Whether it worked. While the broker is away, and in a rebalance, a later try takes its place. */
    private static boolean commit(KafkaConsumer<byte[], byte[]> consumer) {
        try {
            consumer.commitSync();
            return true;
        } catch (KafkaException error) {
            System.err.println("commit: " + error.getMessage());
            return false;
        }
    }

    private static int write(BufferedWriter output, ConsumerRecords<byte[], byte[]> records) throws Exception {
        for (ConsumerRecord<byte[], byte[]> record : records) {
            ObjectNode line = AgentLoop.JSON.createObjectNode();
            line.put("p", record.partition()).put("o", record.offset()).put("t", record.timestamp());
            line.put("k", text(record.key())).put("v", text(record.value()));
            ArrayNode headers = line.putArray("h");
            for (Header header : record.headers()) headers.addArray().add(header.key()).add(text(header.value()));
            output.write(line.toString());
            output.newLine();
        }
        return records.count();
    }

    private static byte[] bytes(JsonNode text) { return text.isNull() ? null : Base64.getDecoder().decode(text.asText()); }

    private static String text(byte[] bytes) { return bytes == null ? null : Base64.getEncoder().encodeToString(bytes); }
}
