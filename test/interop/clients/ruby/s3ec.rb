# The two S3 encryption clients of the AWS SDK for Ruby, spoken to in lines of JSON: see ../../client.ts for the words.
# Argument: 1 or 2, for the client that reads.

require "aws-sdk-kms"
require "aws-sdk-s3"
require "base64"
require "digest"
require "json"
require "openssl"

CLOUDS = JSON.parse($stdin.gets)
ACCESS = {
  region: CLOUDS["region"],
  credentials: Aws::Credentials.new(CLOUDS["accessKeyId"], CLOUDS["secretAccessKey"]),
  retry_limit: 0,
}.freeze
S3 = Aws::S3::Client.new(endpoint: CLOUDS["s3"], force_path_style: true, **ACCESS)
KMS = Aws::KMS::Client.new(endpoint: CLOUDS["kms"], **ACCESS)

def bare_key(wrap)
  bytes = Base64.strict_decode64(CLOUDS[wrap])
  wrap == "aes" ? bytes : OpenSSL::PKey::RSA.new(bytes)
end

def key_options(request)
  if request["wrap"] == "kms"
    { kms_key_id: request["kmsKey"], kms_client: KMS }
  else
    { encryption_key: bare_key(request["wrap"]), materials_description: JSON.dump(request["context"]) }
  end
end

SCHEMAS = { "kms" => :kms_context, "aes" => :aes_gcm, "rsa" => :rsa_oaep_sha1 }.freeze

def writer(request)
  place = request["place"] == "file" ? :instruction_file : :metadata
  common = { client: S3, envelope_location: place, **key_options(request) }
  return Aws::S3::Encryption::Client.new(common) if request["generation"] == 1

  Aws::S3::EncryptionV2::Client.new(
    key_wrap_schema: SCHEMAS[request["wrap"]],
    content_encryption_schema: :aes_gcm_no_padding,
    security_profile: :v2,
    **common,
  )
end

# Debian's gem of KMS is older than the name of the key in Decrypt, which the second client would send: so it opens under any key.
def reader(request)
  common = { client: S3, kms_client: KMS }
  return Aws::S3::Encryption::Client.new(kms_key_id: request["kmsKey"], **common) if ARGV.first == "1"

  Aws::S3::EncryptionV2::Client.new(
    kms_key_id: :kms_allow_decrypt_with_any_cmk,
    key_wrap_schema: :kms_context,
    content_encryption_schema: :aes_gcm_no_padding,
    security_profile: request["mode"] == "legacy" ? :v2_and_legacy : :v2,
    **common,
  )
end

def place(request)
  known = { bucket: request["bucket"], key: request["key"] }
  takes_context = request["op"] == "read" ? ARGV.first == "2" : request["generation"] == 2 && request["wrap"] == "kms"
  return known if request["context"].empty? || !takes_context

  known.merge(kms_encryption_context: request["context"])
end

def answer(request)
  if request["op"] == "write"
    writer(request).put_object(body: File.binread(request["file"]), **place(request))
    return {}
  end
  plaintext = reader(request).get_object(**place(request)).body.read
  { sizeBytes: plaintext.bytesize, sha256: Digest::SHA256.hexdigest(plaintext) }
end

# With its causes: the client wraps what KMS said.
def reason(error)
  words = []
  while error
    words << "#{error.class.name.split("::").last}: #{error.message}"
    error = error.cause
  end
  words.join(" <- ")
end

$stdout.sync = true
puts JSON.dump(version: Aws::S3::GEM_VERSION)
$stdin.each_line do |line|
  said =
    begin
      answer(JSON.parse(line))
    rescue StandardError => error
      { error: reason(error) }
    end
  puts JSON.dump(said)
end
