import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The loop of the Java agent: commands as JSON lines on standard input, each in a thread of its own; answers as JSON
 * lines, any number of events and then one result or error. What an agent does with a record is to carry it: it
 * decides nothing about right and wrong.
 */
final class AgentLoop {
    static final ObjectMapper JSON = new ObjectMapper();
    /** Kept apart: the tools print to System.out. */
    private static final PrintStream ANSWERS = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
    private static final int ACKS_PER_LINE = 200;

    interface Operation {
        /** Returns the result, or null for an empty one. */
        ObjectNode run(Call call) throws Exception;
    }

    /** One running command: where its events go, and whether it was asked to stop. */
    static final class Call {
        final JsonNode command;
        volatile boolean stopped;
        private ArrayNode acks = JSON.createArrayNode();
        private final ArrayNode failures = JSON.createArrayNode();

        Call(JsonNode command) { this.command = command; }

        String text(String name) { return command.path(name).asText(); }

        int number(String name) { return command.path(name).asInt(); }

        void event(String event, String name, JsonNode value) {
            ObjectNode answer = JSON.createObjectNode().put("id", text("id")).put("event", event);
            write(answer.set(name, value));
        }

        /** Reports an acknowledgement; several share a line. */
        synchronized void acked(int index, int partition, long offset) {
            acks.add(JSON.createArrayNode().add(index).add(partition).add(offset));
            if (acks.size() >= ACKS_PER_LINE) flushAcks();
        }

        synchronized void flushAcks() {
            if (acks.isEmpty()) return;
            event("acks", "acks", acks);
            acks = JSON.createArrayNode();
        }

        synchronized void failed(int index, Exception error) {
            failures.add(JSON.createArrayNode().add(index).add(String.valueOf(error)));
        }

        synchronized ObjectNode sent(int count) {
            return JSON.createObjectNode().put("sent", count).set("failures", failures);
        }
    }

    static void serve(Map<String, Operation> operations) throws Exception {
        Map<String, Call> calls = new ConcurrentHashMap<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Call call = new Call(JSON.readTree(line));
            if (call.text("op").equals("stop")) {
                calls.get(call.text("target")).stopped = true;
                answer(call, "result", JSON.createObjectNode());
                continue;
            }
            calls.put(call.text("id"), call);
            Thread thread = new Thread(() -> run(operations.get(call.text("op")), call));
            thread.setDaemon(true);
            thread.start();
        }
        System.exit(0);
    }

    private static void run(Operation operation, Call call) {
        try {
            ObjectNode result = operation == null ? JSON.createObjectNode().put("unsupported", true) : operation.run(call);
            answer(call, "result", result == null ? JSON.createObjectNode() : result);
        } catch (Throwable error) {
            error.printStackTrace();
            Throwable cause = error instanceof java.util.concurrent.ExecutionException ? error.getCause() : error;
            answer(call, "error", JSON.getNodeFactory().textNode(String.valueOf(cause)));
        }
    }

    private static void answer(Call call, String kind, JsonNode value) {
        write(JSON.createObjectNode().put("id", call.text("id")).set(kind, value));
    }

    private static void write(JsonNode answer) {
        synchronized (ANSWERS) {
            ANSWERS.println(answer);
            ANSWERS.flush();
        }
    }
}
