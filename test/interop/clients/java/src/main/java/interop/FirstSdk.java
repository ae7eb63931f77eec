package interop;

import com.amazonaws.auth.AWSStaticCredentialsProvider;
import com.amazonaws.auth.BasicAWSCredentials;
import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.kms.AWSKMS;
import com.amazonaws.services.kms.AWSKMSClientBuilder;
import com.amazonaws.services.s3.AmazonS3;
import com.amazonaws.services.s3.AmazonS3EncryptionClientBuilder;
import com.amazonaws.services.s3.AmazonS3EncryptionClientV2Builder;
import com.amazonaws.services.s3.model.CryptoConfiguration;
import com.amazonaws.services.s3.model.CryptoConfigurationV2;
import com.amazonaws.services.s3.model.CryptoMode;
import com.amazonaws.services.s3.model.CryptoStorageMode;
import com.amazonaws.services.s3.model.EncryptionMaterials;
import com.amazonaws.services.s3.model.KMSEncryptionMaterials;
import com.amazonaws.services.s3.model.EncryptedPutObjectRequest;
import com.amazonaws.services.s3.model.S3Object;
import com.amazonaws.services.s3.model.StaticEncryptionMaterialsProvider;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.util.HashMap;
import java.util.Map;

/**
 * The two encryption clients of the AWS SDK for Java 1: AmazonS3EncryptionClient, with which formats V1 and `kms` began, and
 * AmazonS3EncryptionClientV2. Words: version, and 1 or 2 for the client that reads.
 */
final class FirstSdk implements Lines.Client {
  private final JsonNode clouds;
  private final AWSStaticCredentialsProvider credentials;
  private final AWSKMS kms;
  private final Map<String, AmazonS3> clients = new HashMap<>();

  private final boolean readsWithFirst;

  private FirstSdk(JsonNode clouds, boolean readsWithFirst) {
    this.clouds = clouds;
    this.readsWithFirst = readsWithFirst;
    credentials = new AWSStaticCredentialsProvider(
        new BasicAWSCredentials(clouds.get("accessKeyId").asText(), clouds.get("secretAccessKey").asText()));
    kms = AWSKMSClientBuilder.standard().withCredentials(credentials).withEndpointConfiguration(endpoint("kms")).build();
  }

  public static void main(String[] words) throws Exception {
    Lines.serve(words[0], clouds -> new FirstSdk(clouds, words[1].equals("1")));
  }

  private EndpointConfiguration endpoint(String service) {
    return new EndpointConfiguration(clouds.get(service).asText(), clouds.get("region").asText());
  }

  @Override
  public ObjectNode answer(JsonNode request) throws Exception {
    if (!Lines.is(request, "op", "write")) return Lines.opened(read(request));
    write(request);
    return Lines.JSON.createObjectNode();
  }

  private void write(JsonNode request) throws Exception {
    CryptoStorageMode place =
        request.get("place").asText().equals("file") ? CryptoStorageMode.InstructionFile : CryptoStorageMode.ObjectMetadata;
    boolean cbc = request.get("body").asText().equals("cbc");
    EncryptionMaterials materials = materials(request);
    boolean first = request.get("generation").asInt() == 1;
    // The second generation takes the context with the request, the first with the materials.
    boolean withRequest = !first && request.get("wrap").asText().equals("kms");
    if (!withRequest) materials.addDescriptions(Lines.context(request));
    AmazonS3 client = first
        ? firstClient(materials, new CryptoConfiguration(cbc ? CryptoMode.EncryptionOnly : CryptoMode.AuthenticatedEncryption).withStorageMode(place))
        : secondClient(materials, new CryptoConfigurationV2(CryptoMode.StrictAuthenticatedEncryption).withStorageMode(place));
    EncryptedPutObjectRequest put = new EncryptedPutObjectRequest(
        request.get("bucket").asText(), request.get("key").asText(), new File(request.get("file").asText()));
    client.putObject(withRequest ? put.withMaterialsDescription(Lines.context(request)) : put);
  }

  /** Both look for the object's pairs in their materials. */
  private byte[] read(JsonNode request) throws Exception {
    String kmsKey = request.get("kmsKey").asText();
    JsonNode pairs = request.get("description");
    boolean legacy = request.get("mode").asText().equals("legacy");
    AmazonS3 client = clients.computeIfAbsent(kmsKey + legacy + pairs, any -> {
      EncryptionMaterials materials = new KMSEncryptionMaterials(kmsKey).addDescriptions(Lines.pairs(pairs));
      if (readsWithFirst) return firstClient(materials, new CryptoConfiguration(CryptoMode.AuthenticatedEncryption));
      CryptoMode mode = legacy ? CryptoMode.AuthenticatedEncryption : CryptoMode.StrictAuthenticatedEncryption;
      return secondClient(materials, new CryptoConfigurationV2(mode));
    });
    try (S3Object object = client.getObject(request.get("bucket").asText(), request.get("key").asText())) {
      return object.getObjectContent().readAllBytes();
    }
  }

  private EncryptionMaterials materials(JsonNode request) throws Exception {
    return switch (request.get("wrap").asText()) {
      case "aes" -> new EncryptionMaterials(Lines.aesKey(clouds));
      case "rsa" -> new EncryptionMaterials(Lines.rsaKeyPair(clouds));
      default -> new KMSEncryptionMaterials(request.get("kmsKey").asText());
    };
  }

  @SuppressWarnings("deprecation")
  private AmazonS3 firstClient(EncryptionMaterials materials, CryptoConfiguration configuration) {
    return AmazonS3EncryptionClientBuilder.standard()
        .withCredentials(credentials)
        .withEndpointConfiguration(endpoint("s3"))
        .withPathStyleAccessEnabled(true)
        .withKmsClient(kms)
        .withEncryptionMaterials(new StaticEncryptionMaterialsProvider(materials))
        .withCryptoConfiguration(configuration)
        .build();
  }

  private AmazonS3 secondClient(EncryptionMaterials materials, CryptoConfigurationV2 configuration) {
    return AmazonS3EncryptionClientV2Builder.standard()
        .withCredentials(credentials)
        .withEndpointConfiguration(endpoint("s3"))
        .withPathStyleAccessEnabled(true)
        .withKmsClient(kms)
        .withEncryptionMaterialsProvider(new StaticEncryptionMaterialsProvider(materials))
        .withCryptoConfiguration(configuration)
        .build();
  }
}
