package interop;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.MessageDigest;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.Map;
import javax.crypto.SecretKey;
import javax.crypto.spec.SecretKeySpec;

/** Lines of JSON in, lines of JSON out: see ../../../../../../client.ts for the words. */
final class Lines {
  static final ObjectMapper JSON = new ObjectMapper();

  interface Client {
    ObjectNode answer(JsonNode request) throws Exception;
  }

  interface Opener {
    Client open(JsonNode clouds) throws Exception;
  }

  private Lines() {}

  static void serve(String version, Opener opener) throws Exception {
    // Libraries log to stdout, which is for answers.
    PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    Client client = opener.open(JSON.readTree(lines.readLine()));
    answers.println(JSON.createObjectNode().put("version", version));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      answers.println(answer(client, JSON.readTree(line)));
    }
    // Idle connections keep threads that would outlive the last line.
    System.exit(0);
  }

  private static ObjectNode answer(Client client, JsonNode request) {
    try {
      return client.answer(request);
    } catch (Throwable error) {
      return JSON.createObjectNode().put("error", reason(error));
    }
  }

  static ObjectNode opened(byte[] plaintext) throws Exception {
    byte[] digest = MessageDigest.getInstance("SHA-256").digest(plaintext);
    return JSON.createObjectNode().put("sizeBytes", plaintext.length).put("sha256", HexFormat.of().formatHex(digest));
  }

  static ObjectNode sealed(JsonNode request, byte[] bytes) throws Exception {
    Files.write(Path.of(request.get("out").asText()), bytes);
    ObjectNode said = JSON.createObjectNode();
    said.putObject("metadata");
    return said;
  }

  static byte[] content(JsonNode request) throws Exception {
    return Files.readAllBytes(Path.of(request.get("file").asText()));
  }

  static boolean is(JsonNode request, String field, String value) {
    return request.get(field).asText().equals(value);
  }

  /** With its causes: the clients wrap what KMS said. */
  private static String reason(Throwable error) {
    StringBuilder words = new StringBuilder();
    for (Throwable one = error; one != null; one = one.getCause()) {
      words.append(words.isEmpty() ? "" : " <- ").append(one.getClass().getSimpleName()).append(": ").append(one.getMessage());
    }
    return words.toString();
  }

  static Map<String, String> context(JsonNode request) {
    return pairs(request.get("context"));
  }

  static Map<String, String> pairs(JsonNode object) {
    Map<String, String> pairs = new HashMap<>();
    Iterator<Map.Entry<String, JsonNode>> fields = object.fields();
    fields.forEachRemaining(field -> pairs.put(field.getKey(), field.getValue().asText()));
    return pairs;
  }

  static SecretKey aesKey(JsonNode clouds) {
    return new SecretKeySpec(bytes(clouds, "aes"), "AES");
  }

  static KeyPair rsaKeyPair(JsonNode clouds) throws Exception {
    KeyFactory factory = KeyFactory.getInstance("RSA");
    return new KeyPair(
        factory.generatePublic(new X509EncodedKeySpec(bytes(clouds, "rsaPublic"))),
        factory.generatePrivate(new PKCS8EncodedKeySpec(bytes(clouds, "rsa"))));
  }

  private static byte[] bytes(JsonNode clouds, String name) {
    return Base64.getDecoder().decode(clouds.get(name).asText());
  }
}
