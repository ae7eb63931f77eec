package interop;

import com.amazonaws.auth.AWSStaticCredentialsProvider;
import com.amazonaws.auth.BasicAWSCredentials;
import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.kms.AWSKMS;
import com.amazonaws.services.kms.AWSKMSClientBuilder;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.api.client.http.javanet.NetHttpTransport;
import com.google.api.client.json.gson.GsonFactory;
import com.google.api.services.cloudkms.v1.CloudKMS;
import com.google.crypto.tink.Aead;
import com.google.crypto.tink.aead.AeadConfig;
import com.google.crypto.tink.aead.AeadParameters;
import com.google.crypto.tink.aead.KmsEnvelopeAead;
import com.google.crypto.tink.aead.PredefinedAeadParameters;
import com.google.crypto.tink.integration.awskms.AwsKmsAead;
import com.google.crypto.tink.integration.gcpkms.GcpKmsAead;
import java.nio.charset.StandardCharsets;

/** Tink's envelope AEAD, with its own clients of both key services. */
final class TinkEnvelope implements Lines.Client {
  private final AWSKMS amazon;
  private final CloudKMS google;

  private TinkEnvelope(JsonNode clouds) throws Exception {
    AeadConfig.register();
    amazon = AWSKMSClientBuilder.standard()
        .withCredentials(new AWSStaticCredentialsProvider(
            new BasicAWSCredentials(clouds.get("accessKeyId").asText(), clouds.get("secretAccessKey").asText())))
        .withEndpointConfiguration(new EndpointConfiguration(clouds.get("kms").asText(), clouds.get("region").asText()))
        .build();
    google = new CloudKMS.Builder(new NetHttpTransport(), new GsonFactory(), null)
        .setRootUrl(clouds.get("gcpKms").asText() + "/")
        .setApplicationName("interop")
        .build();
  }

  public static void main(String[] words) throws Exception {
    Lines.serve(words[0], TinkEnvelope::new);
  }

  @Override
  public ObjectNode answer(JsonNode request) throws Exception {
    String key = request.get("kmsKey").asText();
    Aead remote = Lines.is(request, "wrap", "gcp") ? new GcpKmsAead(google, key) : new AwsKmsAead(amazon, key);
    Aead envelope = KmsEnvelopeAead.create(parameters(request), remote);
    byte[] associated = Lines.context(request).getOrDefault("associatedData", "").getBytes(StandardCharsets.UTF_8);
    if (Lines.is(request, "op", "open")) return Lines.opened(envelope.decrypt(Lines.content(request), associated));
    return Lines.sealed(request, envelope.encrypt(Lines.content(request), associated));
  }

  private static AeadParameters parameters(JsonNode request) {
    return Lines.is(request, "variant", "AES128_GCM") ? PredefinedAeadParameters.AES128_GCM : PredefinedAeadParameters.AES256_GCM;
  }
}
