import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;

/**
 * Answers what Kafka's own classes make of a message. Arguments: `release=jar`, once per release.
 *
 * One request per line, its fields separated by tabs; one line of JSON answers it:
 *   versions, release, message                      `lowest` and `highest`
 *   decode, release, message, version, base64       `json`, `encoded` (written again) and `unread` bytes
 *   encode, release, message, version, JSON         `encoded`
 * or `error`, if Kafka refuses.
 */
public class Oracle {
  private static final ObjectMapper MAPPER = new ObjectMapper();
  private final Map<String, ClassLoader> loaders = new HashMap<>();

  public static void main(String[] arguments) throws Exception {
    Oracle oracle = new Oracle();
    for (String argument : arguments) {
      String[] parts = argument.split("=", 2);
      URL jar = Path.of(parts[1]).toUri().toURL();
      oracle.loaders.put(parts[0], new URLClassLoader(new URL[] {jar}, Oracle.class.getClassLoader()));
    }
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      out.print(oracle.answer(line.split("\t", -1)) + "\n");
      if (!in.ready()) out.flush();
    }
  }

  private String answer(String[] request) throws Exception {
    ObjectNode answer = MAPPER.createObjectNode();
    try {
      ClassLoader loader = loaders.get(request[1]);
      Class<?> data = loader.loadClass("org.apache.kafka.common.message." + dataName(request[2]));
      if (request[0].equals("versions")) {
        answer.put("lowest", data.getField("LOWEST_SUPPORTED_VERSION").getShort(null));
        answer.put("highest", data.getField("HIGHEST_SUPPORTED_VERSION").getShort(null));
      } else {
        short version = Short.parseShort(request[3]);
        Class<?> converter = loader.loadClass(data.getName() + "JsonConverter");
        if (request[0].equals("decode")) decode(loader, data, converter, version, request[4], answer);
        else encode(loader, converter, version, request[4], answer);
      }
    } catch (ClassNotFoundException missing) {
      answer.put("lowest", 0).put("highest", -1);
    } catch (InvocationTargetException failure) {
      answer.put("error", failure.getCause().toString());
    }
    return MAPPER.writeValueAsString(answer);
  }

  private void decode(
      ClassLoader loader, Class<?> data, Class<?> converter, short version, String base64, ObjectNode answer)
      throws Exception {
    Class<?> readable = loader.loadClass("org.apache.kafka.common.protocol.Readable");
    Class<?> accessor = loader.loadClass("org.apache.kafka.common.protocol.ByteBufferAccessor");
    ByteBuffer buffer = ByteBuffer.wrap(Base64.getDecoder().decode(base64));
    Object input = accessor.getConstructor(ByteBuffer.class).newInstance(buffer);
    Object message = data.getConstructor(readable, short.class).newInstance(input, version);
    answer.put("unread", buffer.remaining());
    Method write = converter.getMethod("write", data, short.class, boolean.class);
    answer.set("json", (JsonNode) write.invoke(null, message, version, false));
    answer.put("encoded", encoded(loader, message, version));
  }

  private void encode(
      ClassLoader loader, Class<?> converter, short version, String json, ObjectNode answer)
      throws Exception {
    Method read = converter.getMethod("read", JsonNode.class, short.class);
    answer.put("encoded", encoded(loader, read.invoke(null, MAPPER.readTree(json), version), version));
  }

  private String encoded(ClassLoader loader, Object message, short version) throws Exception {
    Class<?> util = loader.loadClass("org.apache.kafka.common.protocol.MessageUtil");
    Class<?> messageType = loader.loadClass("org.apache.kafka.common.protocol.Message");
    Method write = util.getMethod("toVersionPrefixedByteBuffer", short.class, messageType);
    ByteBuffer buffer = (ByteBuffer) write.invoke(null, version, message);
    buffer.getShort();
    byte[] bytes = new byte[buffer.remaining()];
    buffer.get(bytes);
    return Base64.getEncoder().encodeToString(bytes);
  }

  /** Requests and responses end in `Data`; the other messages have their own name. */
  private static String dataName(String name) {
    return name.endsWith("Request") || name.endsWith("Response") || name.endsWith("Header")
        ? name + "Data" : name;
  }
}
