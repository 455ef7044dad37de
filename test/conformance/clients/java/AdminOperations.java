import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** What the Java agent asks of the Admin client, one method for each operation. */
final class AdminOperations {
    private final String bootstrap;
    private Admin admin;

    AdminOperations(String bootstrap) { this.bootstrap = bootstrap; }

    Map<String, AgentLoop.Operation> all() {
        return Map.ofEntries(
            Map.entry("createTopic", this::createTopic),
            Map.entry("createPartitions", this::createPartitions),
            Map.entry("describeTopic", this::describeTopic),
            Map.entry("listTopics", this::listTopics),
            Map.entry("describeConfigs", this::describeConfigs),
            Map.entry("deleteTopic", this::deleteTopic),
            Map.entry("deleteRecords", this::deleteRecords),
            Map.entry("listOffsets", this::listOffsets),
            Map.entry("committed", this::committed),
            Map.entry("listGroups", this::listGroups),
            Map.entry("describeGroup", this::describeGroup),
            Map.entry("deleteGroup", this::deleteGroup));
    }

    private synchronized Admin admin() {
        if (admin == null) admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        return admin;
    }

    private ObjectNode createTopic(AgentLoop.Call call) throws Exception {
        Map<String, String> configs = new HashMap<>();
        call.command.path("configs").fields().forEachRemaining(entry -> configs.put(entry.getKey(), entry.getValue().asText()));
        NewTopic topic = new NewTopic(call.text("topic"), call.number("partitions"), (short) 1).configs(configs);
        admin().createTopics(List.of(topic)).all().get();
        return null;
    }

    private ObjectNode createPartitions(AgentLoop.Call call) throws Exception {
        admin().createPartitions(Map.of(call.text("topic"), NewPartitions.increaseTo(call.number("total")))).all().get();
        return null;
    }

    private ObjectNode describeTopic(AgentLoop.Call call) throws Exception {
        String topic = call.text("topic");
        int count = admin().describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
        return result().put("partitions", count);
    }

    private ObjectNode listTopics(AgentLoop.Call call) throws Exception {
        ObjectNode result = result();
        ArrayNode topics = result.putArray("topics");
        admin().listTopics().names().get().forEach(topics::add);
        return result;
    }

    private ObjectNode describeConfigs(AgentLoop.Call call) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, call.text("topic"));
        ObjectNode result = result();
        ObjectNode configs = result.putObject("configs");
        admin().describeConfigs(List.of(resource)).all().get().get(resource).entries()
            .forEach(entry -> configs.put(entry.name(), entry.value()));
        return result;
    }

    private ObjectNode deleteTopic(AgentLoop.Call call) throws Exception {
        admin().deleteTopics(List.of(call.text("topic"))).all().get();
        return null;
    }

    private ObjectNode deleteRecords(AgentLoop.Call call) throws Exception {
        TopicPartition partition = new TopicPartition(call.text("topic"), call.number("partition"));
        admin().deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(call.number("before")))).all().get();
        return null;
    }

    private ObjectNode listOffsets(AgentLoop.Call call) throws Exception {
        OffsetSpec spec = switch (call.text("at")) {
            case "earliest" -> OffsetSpec.earliest();
            case "latest" -> OffsetSpec.latest();
            case "max" -> OffsetSpec.maxTimestamp();
            default -> OffsetSpec.forTimestamp(call.command.path("at").asLong());
        };
        TopicPartition partition = new TopicPartition(call.text("topic"), call.number("partition"));
        ListOffsetsResultInfo found = admin().listOffsets(Map.of(partition, spec)).partitionResult(partition).get();
        return result().put("offset", found.offset()).put("timestampMs", found.timestamp());
    }

    private ObjectNode committed(AgentLoop.Call call) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> found =
            admin().listConsumerGroupOffsets(call.text("group")).partitionsToOffsetAndMetadata().get();
        ObjectNode result = result();
        ArrayNode offsets = result.putArray("offsets");
        for (int index = 0; index < call.number("partitions"); index++) {
            OffsetAndMetadata committed = found.get(new TopicPartition(call.text("topic"), index));
            offsets.add(committed == null ? -1 : committed.offset());
        }
        return result;
    }

    private ObjectNode listGroups(AgentLoop.Call call) throws Exception {
        ObjectNode result = result();
        ArrayNode groups = result.putArray("groups");
        admin().listGroups().all().get().forEach(group -> groups.add(group.groupId()));
        return result;
    }

    private ObjectNode describeGroup(AgentLoop.Call call) throws Exception {
        String group = call.text("group");
        ConsumerGroupDescription found = admin().describeConsumerGroups(List.of(group)).all().get().get(group);
        return result().put("state", found.groupState().toString()).put("members", found.members().size());
    }

    private ObjectNode deleteGroup(AgentLoop.Call call) throws Exception {
        admin().deleteConsumerGroups(List.of(call.text("group"))).all().get();
        return null;
    }

    private static ObjectNode result() { return AgentLoop.JSON.createObjectNode(); }
}
