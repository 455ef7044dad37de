import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs a console tool by its main class, as the script of that name does, but without a virtual machine of its own:
 * its exit is caught, and what it reads and prints is handed over. One tool at a time.
 */
final class ConsoleTools {
    private static final class Exited extends Error {
        Exited(int code) { super("exit " + code, null, false, false); }
    }

    /** The first exit counts: some tools catch what their exit throws here, and exit again. */
    private static final AtomicInteger EXIT_CODE = new AtomicInteger();
    private static final int NOT_EXITED = -1;

    private ConsoleTools() { }

    static synchronized ObjectNode run(AgentLoop.Call call) throws Exception {
        List<String> args = new ArrayList<>();
        for (JsonNode arg : call.command.path("args")) args.add(arg.asText());
        PrintStream out = System.out;
        PrintStream err = System.err;
        InputStream in = System.in;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        ByteArrayOutputStream complained = new ByteArrayOutputStream();
        EXIT_CODE.set(NOT_EXITED);
        Exit.setExitProcedure((code, message) -> exit(code));
        Exit.setHaltProcedure((code, message) -> exit(code));
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(complained, true, StandardCharsets.UTF_8));
        System.setIn(new ByteArrayInputStream(call.text("input").getBytes(StandardCharsets.UTF_8)));
        try {
            call(call.text("class"), args.toArray(String[]::new));
        } finally {
            System.setOut(out);
            System.setErr(err);
            System.setIn(in);
        }
        return AgentLoop.JSON.createObjectNode().put("code", Math.max(EXIT_CODE.get(), 0))
            .put("out", printed.toString(StandardCharsets.UTF_8)).put("err", complained.toString(StandardCharsets.UTF_8));
    }

    private static void exit(int code) {
        EXIT_CODE.compareAndSet(NOT_EXITED, code);
        throw new Exited(code);
    }

    private static void call(String name, String[] args) throws Exception {
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (InvocationTargetException wrapped) {
            if (EXIT_CODE.get() == NOT_EXITED) throw wrapped;
        }
    }
}
