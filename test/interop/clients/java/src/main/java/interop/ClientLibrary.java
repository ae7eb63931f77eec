package interop;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URI;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.kms.KmsClient;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.encryption.s3.CommitmentPolicy;
import software.amazon.encryption.s3.S3EncryptionClient;
import software.amazon.encryption.s3.algorithms.AlgorithmSuite;
import software.amazon.encryption.s3.internal.InstructionFileConfig;
import software.amazon.encryption.s3.materials.AesKeyring;
import software.amazon.encryption.s3.materials.KmsKeyring;
import software.amazon.encryption.s3.materials.MaterialsDescription;
import software.amazon.encryption.s3.materials.PartialRsaKeyPair;
import software.amazon.encryption.s3.materials.RsaKeyring;
import software.amazon.encryption.s3.materials.S3Keyring;

/** amazon-s3-encryption-client-java. */
final class ClientLibrary implements Lines.Client {
  private final JsonNode clouds;
  private final S3Client s3;
  private final S3AsyncClient s3Async;
  private final KmsClient kms;
  private final Map<String, S3EncryptionClient> readers = new HashMap<>();

  private ClientLibrary(JsonNode clouds) {
    this.clouds = clouds;
    StaticCredentialsProvider credentials = StaticCredentialsProvider.create(
        AwsBasicCredentials.create(clouds.get("accessKeyId").asText(), clouds.get("secretAccessKey").asText()));
    Region region = Region.of(clouds.get("region").asText());
    URI endpoint = URI.create(clouds.get("s3").asText());
    s3 = S3Client.builder().endpointOverride(endpoint).region(region).credentialsProvider(credentials).forcePathStyle(true).build();
    s3Async = S3AsyncClient.builder().endpointOverride(endpoint).region(region).credentialsProvider(credentials).forcePathStyle(true).build();
    kms = KmsClient.builder().endpointOverride(URI.create(clouds.get("kms").asText())).region(region).credentialsProvider(credentials).build();
  }

  public static void main(String[] words) throws Exception {
    Lines.serve(words[0], ClientLibrary::new);
  }

  @Override
  public ObjectNode answer(JsonNode request) throws Exception {
    if (!Lines.is(request, "op", "write")) return Lines.opened(read(request));
    write(request);
    return Lines.JSON.createObjectNode();
  }

  private void write(JsonNode request) throws Exception {
    boolean committing = request.get("generation").asInt() == 3;
    S3EncryptionClient.Builder builder = wrapped()
        .keyring(keyring(request))
        .commitmentPolicy(committing ? CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT : CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT)
        .encryptionAlgorithm(committing ? AlgorithmSuite.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY : AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF);
    if (request.get("place").asText().equals("file")) {
      builder.instructionFileConfig(InstructionFileConfig.builder().instructionFileClient(s3).enableInstructionFilePutObject(true).build());
    }
    Map<String, String> context = request.get("wrap").asText().equals("kms") ? Lines.context(request) : Map.of();
    // Not closed: closing would end the connections that all share.
    builder.build().putObject(
        put -> put.bucket(request.get("bucket").asText()).key(request.get("key").asText())
            .overrideConfiguration(S3EncryptionClient.withAdditionalConfiguration(context)),
        RequestBody.fromFile(Path.of(request.get("file").asText())));
  }

  private byte[] read(JsonNode request) throws Exception {
    boolean legacy = request.get("mode").asText().equals("legacy");
    String kmsKey = request.get("kmsKey").asText();
    S3EncryptionClient client = readers.computeIfAbsent(kmsKey + legacy, any -> reader(kmsKey, legacy));
    return client.getObjectAsBytes(
        get -> get.bucket(request.get("bucket").asText()).key(request.get("key").asText())
            .overrideConfiguration(S3EncryptionClient.withAdditionalConfiguration(Lines.context(request)))).asByteArray();
  }

  private S3EncryptionClient reader(String kmsKey, boolean legacy) {
    S3EncryptionClient.Builder builder = wrapped()
        .keyring(KmsKeyring.builder().kmsClient(kms).wrappingKeyId(kmsKey).enableLegacyWrappingAlgorithms(legacy).build());
    if (legacy) {
      builder.enableLegacyUnauthenticatedModes(true)
          .enableLegacyWrappingAlgorithms(true)
          .commitmentPolicy(CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT);
    }
    return builder.build();
  }

  private S3EncryptionClient.Builder wrapped() {
    return S3EncryptionClient.builderV4().wrappedClient(s3).wrappedAsyncClient(s3Async);
  }

  private S3Keyring keyring(JsonNode request) throws Exception {
    MaterialsDescription description = MaterialsDescription.builder().putAll(Lines.context(request)).build();
    return switch (request.get("wrap").asText()) {
      case "aes" -> AesKeyring.builder().wrappingKey(Lines.aesKey(clouds)).materialsDescription(description).build();
      case "rsa" -> RsaKeyring.builder()
          .wrappingKeyPair(new PartialRsaKeyPair(Lines.rsaKeyPair(clouds)))
          .materialsDescription(description)
          .build();
      default -> KmsKeyring.builder().kmsClient(kms).wrappingKeyId(request.get("kmsKey").asText()).build();
    };
  }
}
