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
import org.apache.kafka.common.utils.Exit;

/**
 * Runs a console tool by its main class, as the script of that name does, but without a virtual machine of its own:
 * its exit is caught, and what it reads and prints is handed over. One tool at a time.
 */
final class ConsoleTools {
    private static final class Exited extends Error {
        final int code;

        Exited(int code) {
            super("exit " + code, null, false, false);
            this.code = code;
        }
    }

    private ConsoleTools() { }

    static synchronized ObjectNode run(AgentLoop.Call call) throws Exception {
        List<String> args = new ArrayList<>();
        for (JsonNode arg : call.command.path("args")) args.add(arg.asText());
        PrintStream out = System.out;
        PrintStream err = System.err;
        InputStream in = System.in;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        ByteArrayOutputStream complained = new ByteArrayOutputStream();
        Exit.setExitProcedure((code, message) -> { throw new Exited(code); });
        Exit.setHaltProcedure((code, message) -> { throw new Exited(code); });
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(complained, true, StandardCharsets.UTF_8));
        System.setIn(new ByteArrayInputStream(call.text("input").getBytes(StandardCharsets.UTF_8)));
        int code = 0;
        try {
            code = call(call.text("class"), args.toArray(String[]::new));
        } finally {
            System.setOut(out);
            System.setErr(err);
            System.setIn(in);
        }
        return AgentLoop.JSON.createObjectNode().put("code", code)
            .put("out", printed.toString(StandardCharsets.UTF_8)).put("err", complained.toString(StandardCharsets.UTF_8));
    }

    private static int call(String name, String[] args) throws Exception {
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) args);
            return 0;
        } catch (InvocationTargetException wrapped) {
            Throwable cause = wrapped.getCause();
            while (cause != null && !(cause instanceof Exited)) cause = cause.getCause();
            if (cause instanceof Exited exited) return exited.code;
            throw wrapped;
        }
    }
}
