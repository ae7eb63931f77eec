/** XML, and where requests may go. */
import { checkEndpoint } from "../../../src/wire/endpoint.ts";
import { parseXml, type XmlElement } from "../../../src/wire/xml.ts";
import { textOf } from "../input.ts";
import { holds, same, type Target } from "../target.ts";

export const LISTING = `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys>
<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextContinuationToken>t1</NextContinuationToken>
<Contents><Key>a%2Bb+c</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>3</Size><StorageClass>STANDARD</StorageClass></Contents>
<Contents><Key>b</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"x-2"</ETag><Size>0</Size></Contents>
</ListBucketResult>`;
export const REFUSAL = `<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please &amp; wait &#x1F511;</Message><Region>eu-west-1</Region><!-- a --></Error>`;

const escaped = (text: string): string => text.replaceAll(/[<>&\p{Cc}]/gu, (c) => `&#${c.codePointAt(0)};`);

const written = ({ name, text, children }: XmlElement): string =>
  `<${name}>${children.length > 0 ? children.map(written).join("") : escaped(text)}</${name}>`;

export const xmlTarget: Target = {
  name: "xml",
  seeds: [LISTING, REFUSAL, "<a b='c'><d/><!-- e --> <f>&#65;&lt;</f></a>", "\ufeff<?xml ?><a/>"],
  run: (bytes) => {
    const root = parseXml(textOf(bytes));
    // A lone surrogate cannot come out of UTF-8; here it comes out of an escape.
    same(parseXml(written(root)), root, "read, written, read");
  },
};

export const endpointTarget: Target = {
  name: "endpoint",
  seeds: [
    "https://host",
    "http://127.0.0.1:9000",
    "http://[::1]:1",
    "https://169.254.169.254",
    "http://0x7f.1",
    "https://user:pass@host/a?b#c",
  ],
  run: (bytes) => {
    const origin = checkEndpoint(textOf(bytes), { allowInsecure: false });
    same(checkEndpoint(origin, { allowInsecure: false }), origin, "an origin is its own origin");
    const { hostname, protocol } = new URL(origin);
    holds(
      !/^169\.254\.\d+\.\d+$|^\[fe[89ab]|^metadata\.google\.internal\.?$/.test(hostname),
      `a metadata address: ${origin}`,
    );
    holds(
      protocol === "https:" || /^127\.|localhost\.?$|^\[::(1|ffff:7f[0-9a-f]{2}:[0-9a-f]+)\]$/.test(hostname),
      `plain http: ${origin}`,
    );
  },
};
