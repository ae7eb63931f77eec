package interop;

import com.amazonaws.encryptionsdk.AwsCrypto;
import com.amazonaws.encryptionsdk.CommitmentPolicy;
import com.amazonaws.encryptionsdk.CryptoAlgorithm;
import com.amazonaws.encryptionsdk.CryptoResult;
import com.amazonaws.encryptionsdk.MasterKeyProvider;
import com.amazonaws.encryptionsdk.jce.JceMasterKey;
import com.amazonaws.encryptionsdk.kmssdkv2.KmsMasterKeyProvider;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URI;
import java.security.KeyPair;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.kms.KmsClient;

/** aws-encryption-sdk-java. */
final class EncryptionSdk implements Lines.Client {
  private final JsonNode clouds;
  private final KmsClient kms;

  private EncryptionSdk(JsonNode clouds) {
    this.clouds = clouds;
    kms = KmsClient.builder()
        .endpointOverride(URI.create(clouds.get("kms").asText()))
        .region(Region.of(clouds.get("region").asText()))
        .credentialsProvider(StaticCredentialsProvider.create(
            AwsBasicCredentials.create(clouds.get("accessKeyId").asText(), clouds.get("secretAccessKey").asText())))
        .build();
  }

  public static void main(String[] words) throws Exception {
    Lines.serve(words[0], EncryptionSdk::new);
  }

  @Override
  public ObjectNode answer(JsonNode request) throws Exception {
    MasterKeyProvider<?> provider = provider(request);
    Map<String, String> context = Lines.context(request);
    if (Lines.is(request, "op", "seal")) {
      CryptoAlgorithm suite = suite(request.get("variant").asText());
      CommitmentPolicy policy = suite.isCommitting()
          ? CommitmentPolicy.RequireEncryptRequireDecrypt
          : CommitmentPolicy.ForbidEncryptAllowDecrypt;
      AwsCrypto crypto = AwsCrypto.builder().withCommitmentPolicy(policy).withEncryptionAlgorithm(suite).build();
      return Lines.sealed(request, crypto.encryptData(provider, Lines.content(request), context).getResult());
    }
    AwsCrypto crypto = AwsCrypto.builder().withCommitmentPolicy(CommitmentPolicy.RequireEncryptAllowDecrypt).build();
    CryptoResult<byte[], ?> opened = crypto.decryptData(provider, Lines.content(request));
    for (Map.Entry<String, String> pair : context.entrySet()) {
      if (!pair.getValue().equals(opened.getEncryptionContext().get(pair.getKey()))) {
        throw new IllegalStateException("the encryption context lacks " + pair.getKey());
      }
    }
    return Lines.opened(opened.getResult());
  }

  private MasterKeyProvider<?> provider(JsonNode request) throws Exception {
    return switch (request.get("wrap").asText()) {
      case "aes" -> JceMasterKey.getInstance(Lines.aesKey(clouds), "interop", "bare", "AES/GCM/NoPadding");
      case "rsa" -> {
        KeyPair pair = Lines.rsaKeyPair(clouds);
        String wrap = "RSA/ECB/OAEPWithSHA-256AndMGF1Padding";
        yield JceMasterKey.getInstance(pair.getPublic(), pair.getPrivate(), "interop", "bare", wrap);
      }
      default -> KmsMasterKeyProvider.builder()
          .customRegionalClientSupplier(region -> kms)
          .buildStrict(request.get("kmsKey").asText());
    };
  }

  private static CryptoAlgorithm suite(String id) {
    for (CryptoAlgorithm suite : CryptoAlgorithm.values()) {
      if (suite.getValue() == Short.parseShort(id, 16)) return suite;
    }
    throw new IllegalArgumentException("no suite " + id);
  }
}
